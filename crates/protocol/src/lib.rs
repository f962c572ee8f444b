//! The words of the Tidings protocol as types: topic, selector, cursor, event, page.
