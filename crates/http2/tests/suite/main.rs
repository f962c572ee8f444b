//! What clients see of a connection, byte by byte.

mod conformance;
mod cuts;
mod ending;
mod floods;
mod flow_control;
mod h2_client;
mod requests;
mod responses;
mod support;
