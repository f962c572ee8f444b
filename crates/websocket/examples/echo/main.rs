//! A server that sends back whatever message it gets: what Autobahn's test suite asks of a server (`tests/autobahn/run`).
//!
//! It listens on the address that it is given, on a port of the system's choice without one, and prints its URL.
#![allow(clippy::print_stdout, reason = "it says where it is")]

mod session;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tidings_websocket::Opening;

use crate::session::Session;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address)?;
    println!("ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || match serve(stream) {
            Ok(()) => {}
            Err(error) => println!("a connection failed: {error}"),
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let (headers, rest) = read_head(&mut stream)?;
    let opening = Opening::check(&Method::GET, Version::HTTP_11, &headers, false)?;
    let (status, headers) = opening.accept(None, opening.deflate());
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &headers {
        out.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    out.extend(b"\r\n");
    let (mut session, mut buffer) = (Session::new(opening.deflate()), vec![0; 64 << 10]);
    let mut goes_on = session.answer(&rest, &mut out);
    while goes_on {
        stream.write_all(&out)?;
        out.clear();
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        goes_on = session.answer(&buffer[..count], &mut out);
    }
    stream.write_all(&out)?;
    // Were it closed with something unread, the client might not get the last frame.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// The fields of a request, and what came after them.
fn read_head(stream: &mut TcpStream) -> Result<(HeaderMap, Vec<u8>), Error> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4 << 10]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer)? {
            0 => return Err("it ended within its head".into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let rest = bytes.split_off(end);
    let mut headers = HeaderMap::new();
    for line in String::from_utf8(bytes)?.lines().skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?);
        }
    }
    Ok((headers, rest))
}
