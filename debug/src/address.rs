//! Where the debugger connects: TCP or a Unix socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen: `HOST:PORT`, `:PORT` or `PORT` (on 127.0.0.1), or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or address, and a port; port 0 takes a free one.
    Tcp(String, u16),
    /// A path in the file system.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Address::Tcp("127.0.0.1".to_string(), 1234)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "needs the form HOST:PORT, :PORT or unix:PATH".to_string();
        match text.strip_prefix("unix:") {
            Some("") => return Err(wrong()),
            Some(path) => return Ok(Address::Unix(path.into())),
            None => {}
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        Ok(Address::Tcp(host.to_string(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Where it listens, the port being the real one.
    pub address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Sockets of ours stay clear of the descriptors of a guest process.
const OWN_FD_MIN: i32 = 1000;

/// The same file or socket under a high number if the host allows it; closed by `exec`.
pub fn out_of_the_way<S: Into<OwnedFd> + From<OwnedFd>>(socket: S) -> S {
    let fd: OwnedFd = socket.into();
    match rustix::io::fcntl_dupfd_cloexec(&fd, OWN_FD_MIN) {
        Ok(high) => high.into(),
        Err(_) => fd.into(),
    }
}

impl Listener {
    /// Listens at `address`; a socket file that nobody listens on any more is replaced.
    pub fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Tcp(host, port) => {
                let socket = TcpListener::bind((host.as_str(), *port))?;
                let port = socket.local_addr()?.port();
                let socket = Socket::Tcp(out_of_the_way(socket));
                Ok(Listener { socket, address: Address::Tcp(host.clone(), port) })
            }
            Address::Unix(path) => {
                if UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
                    std::fs::remove_file(path)?;
                }
                let socket = Socket::Unix(out_of_the_way(UnixListener::bind(path)?));
                Ok(Listener { socket, address: address.clone() })
            }
        }
    }

    /// Waits for a debugger.
    pub fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(s) => {
                let stream = s.accept()?.0;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(out_of_the_way(stream)))
            }
            Socket::Unix(s) => Ok(Stream::Unix(out_of_the_way(s.accept()?.0))),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // Somebody else may have removed it: then there is nothing to do.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Another handle for the same connection.
    pub fn try_clone(&self) -> io::Result<Stream> {
        match self {
            Stream::Tcp(s) => Ok(Stream::Tcp(out_of_the_way(s.try_clone()?))),
            Stream::Unix(s) => Ok(Stream::Unix(out_of_the_way(s.try_clone()?))),
        }
    }

    /// Ends it for all handles.
    pub fn shutdown(&self) {
        // It may be over already.
        let _ = match self {
            Stream::Tcp(s) => s.shutdown(std::net::Shutdown::Both),
            Stream::Unix(s) => s.shutdown(std::net::Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.read(buf),
            Stream::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.write(buf),
            Stream::Unix(s) => s.write(buf),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.flush(),
            Stream::Unix(s) => s.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.to_string(), port));
        assert_eq!("127.0.0.1:1234".parse(), tcp("127.0.0.1", 1234));
        assert_eq!(":9".parse(), tcp("127.0.0.1", 9));
        assert_eq!("9".parse(), tcp("127.0.0.1", 9));
        assert_eq!("[::1]:9".parse(), tcp("::1", 9));
        assert_eq!("unix:/tmp/x".parse(), Ok(Address::Unix("/tmp/x".into())));
        for wrong in ["", "host", "host:", "host:70000", "unix:"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        assert_eq!(Address::default().to_string(), "127.0.0.1:1234");
        assert_eq!("[::1]:9".parse::<Address>().map(|a| a.to_string()), Ok("[::1]:9".to_string()));
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("jib-debug-{}", std::process::id()));
        drop(UnixListener::bind(&path).unwrap());
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address).unwrap();
        assert!(Listener::bind(&address).is_err());
        drop(listener);
        assert!(!path.exists());
    }
}
