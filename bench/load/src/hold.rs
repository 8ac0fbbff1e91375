//! Connections that are opened, used once and kept, to see what idle ones cost.
//!
//! Says `{"held":N}` when all are open, and keeps them until the standard input ends or the plan's seconds are over; then
//! `{"held":N,"closed":M}`, where M are those that the server has closed meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::plan::Plan;
use crate::response::Response;

pub(crate) fn hold(plan: &Plan, count: usize) -> Result<(), String> {
    let request = plan.groups[0].request(&plan.groups[0].path, plan.address);
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        let stream = open(plan, &request).map_err(|error| format!("connection {}: {error}", number + 1))?;
        held.push(stream);
    }
    println!("{{\"held\":{}}}", held.len());
    wait_for_input_to_end(Duration::from_secs_f64(plan.seconds));
    let closed = held.iter().filter(|stream| is_closed(stream)).count();
    println!("{{\"held\":{},\"closed\":{closed}}}", held.len());
    Ok(())
}

/// A connection on which one request was answered.
fn open(plan: &Plan, request: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&plan.address, plan.timeout())?;
    stream.set_read_timeout(Some(plan.timeout()))?;
    stream.write_all(request)?;
    let mut response = Response::default();
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match response.feed(&bytes[..count]) {
            Ok(Some(whole)) if (200..300).contains(&whole.status) => return Ok(stream),
            Ok(Some(whole)) => return Err(std::io::Error::other(format!("status {}", whole.status))),
            Ok(None) => {}
            Err(_) => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

fn wait_for_input_to_end(longest: Duration) {
    let (over, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().lock().read_to_end(&mut rest); // an error is an end too
        let _ = over.send(());
    });
    let _ = ended.recv_timeout(longest); // either way it is time
}

fn is_closed(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
