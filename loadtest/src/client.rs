//! A small blocking HTTP/1.1 client: enough to fill Waypost with links and to check its answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that is kept open between requests.
pub(crate) struct Connection {
    host: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// What came back.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Everything before the body, a line each, from the status line to the last header.
    pub(crate) head: Vec<String>,
    /// The `Location` header, if there is one.
    pub(crate) location: Option<String>,
    /// The body, as text.
    pub(crate) body: String,
}

impl Answer {
    /// How long everything before the body was on the wire, with the empty line after it.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head.iter().map(|line| line.len() + 2).sum::<usize>() + 2
    }

    /// The headers, in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.iter().skip(1);
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }
}

impl Connection {
    /// Connects to `host`.
    pub(crate) fn open(host: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        Ok(Self { host, stream: BufReader::new(stream) })
    }

    /// `GET path`.
    pub(crate) fn get(&mut self, path: &str) -> std::io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", self.host);
        self.exchange(&request)
    }

    /// `GET path` with an API key.
    pub(crate) fn get_with_key(&mut self, path: &str, key: &str) -> std::io::Result<Answer> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\r\n",
            self.host
        );
        self.exchange(&request)
    }

    /// Sends `GET path` with these headers, one a line, and does not wait for the answer.
    pub(crate) fn ask_with(&mut self, path: &str, headers: &str) -> std::io::Result<()> {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for header in headers.lines() {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// `POST path` with a JSON body and an API key.
    pub(crate) fn post(&mut self, path: &str, key: &str, body: &str) -> std::io::Result<Answer> {
        self.post_as("application/json", path, key, body)
    }

    /// `POST path` with a body of this kind and an API key.
    pub(crate) fn post_as(
        &mut self,
        content_type: &str,
        path: &str,
        key: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.exchange(&request)
    }

    fn exchange(&mut self, request: &str) -> std::io::Result<Answer> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// Waits for the answer to what was asked last.
    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| malformed("no status line"))?;
        let (mut location, mut length) = (None, 0);
        let mut head = vec![status_line];
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("no header"))?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("location") {
                location = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(|_not_a_number| malformed("no length"))?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(malformed("a body of unknown length"));
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, head, location, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn malformed(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}
