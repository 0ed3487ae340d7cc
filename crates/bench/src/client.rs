//! A blocking HTTP/1.1 client on one kept-alive connection: enough for load, cheap on CPU.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// One connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    head: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body_len: u64,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::with_capacity(256 << 10, stream),
            head: Vec::new(),
        })
    }

    /// Sends a request; `head` is the request line and headers without the final empty line.
    pub(crate) fn send(&mut self, head: &str, body: &[u8]) -> Result<()> {
        self.head.clear();
        self.head.extend_from_slice(head.as_bytes());
        self.head.extend_from_slice(b"\r\n");
        // Head and a small body in one write, as any client does.
        if body.len() <= 64 << 10 {
            self.head.extend_from_slice(body);
            self.stream.get_mut().write_all(&self.head)?;
        } else {
            self.stream.get_mut().write_all(&self.head)?;
            self.stream.get_mut().write_all(body)?;
        }
        Ok(())
    }

    /// Reads an answer and throws its body away.
    pub(crate) fn receive(&mut self) -> Result<Answer> {
        self.receive_with(|_| {})
    }

    /// Reads an answer; `on_piece` sees each piece of the body, and may take its time.
    pub(crate) fn receive_with(&mut self, mut on_piece: impl FnMut(&[u8])) -> Result<Answer> {
        let (status, body_len) = self.receive_head()?;
        let mut left = body_len;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let want = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let room = buffer.get_mut(..want).context("buffer")?;
            let got = self.stream.read(room)?;
            if got == 0 {
                bail!("connection closed {left} bytes early");
            }
            on_piece(room.get(..got).context("buffer")?);
            left -= u64::try_from(got)?;
        }
        Ok(Answer { status, body_len })
    }

    /// Reads the status line and headers, and leaves the body in the connection.
    pub(crate) fn receive_head(&mut self) -> Result<(u16, u64)> {
        let mut head = Vec::with_capacity(1024);
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .context("status line")?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if length.is_none() && head.contains("transfer-encoding: chunked") {
            bail!("chunked answer where a length was expected: {head}");
        }
        Ok((status, length.unwrap_or(0)))
    }

    /// Reads up to `out.len()` bytes of a body.
    pub(crate) fn read_some(&mut self, out: &mut [u8]) -> Result<usize> {
        Ok(self.stream.read(out)?)
    }
}
