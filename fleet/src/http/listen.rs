//! A listener that does not wait for ever.
//!
//! Owns: how many connections there are, and when a slow one is given up. A request, head and body, has a time to arrive
//! that grows with what has arrived: a large upload may take its time, a client that sends a byte now and then may not.
//! The same time bounds how long an idle connection is kept. A client that stops reading is given up too.
//!
//! Never does: look at bytes. Where a request ends and the next begins is seen by the answer between them: reading
//! starts anew after anything was written.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long slow clients are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A request has this long to arrive, and an idle connection to be used again...
    pub request: Duration,
    /// ...and one second more for every so many bytes of it.
    pub bytes_per_second: u64,
    /// A client that reads nothing is given up after this.
    pub stalled: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            request: Duration::from_secs(30),
            // A modem of the last century is faster.
            bytes_per_second: 1024,
            stalled: Duration::from_secs(120),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub SocketAddr);

impl Connected<IncomingStream<'_, Patient>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Remote(*stream.remote_addr())
    }
}

/// The listener.
pub struct Patient {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Patience,
}

impl Patient {
    /// At most `connections` at the same time; more wait in the system's queue.
    pub fn new(listener: TcpListener, connections: usize, patience: Patience) -> Self {
        Patient {
            listener,
            places: Arc::new(Semaphore::new(connections)),
            patience,
        }
    }
}

impl Listener for Patient {
    type Io = PatientStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PatientStream, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Answers are small and complete; waiting to fill a packet only delays them.
                    drop(stream.set_nodelay(true));
                    return (PatientStream::new(stream, place, self.patience), address);
                }
                Err(error) => {
                    crate::log::warning(format!("cannot accept a connection: {error}"));
                    // Out of file descriptors, most likely: others have to close first.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub struct PatientStream {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    patience: Patience,
    /// Since when a request is read, and how much of it there is. None after something was written.
    reading: Option<(Instant, u64)>,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl PatientStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, patience: Patience) -> Self {
        PatientStream {
            stream,
            _place: place,
            patience,
            reading: None,
            read_timer: Box::pin(tokio::time::sleep(patience.request)),
            write_timer: None,
        }
    }

    fn deadline(&self, since: Instant, received: u64) -> Instant {
        let more = received / self.patience.bytes_per_second.max(1);
        // Saturating: nothing waits for centuries.
        since + self.patience.request + Duration::from_secs(more.min(1 << 20))
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(done) => {
                self.write_timer = None;
                self.reading = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                let stalled = self.patience.stalled;
                let timer = self
                    .write_timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(stalled)));
                timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let (since, received) = self.reading.unwrap_or_else(|| (Instant::now(), 0));
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.write_timer.is_some() {
            // An answer is on its way and the client is slow to take it: it is not its turn to send.
            self.reading = None;
            return result;
        }
        let received = received + (buffer.filled().len() - before) as u64;
        self.reading = Some((since, received));
        let deadline = self.deadline(since, received);
        let late = Instant::now() >= deadline;
        match result {
            Poll::Ready(Ok(())) if !late => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ if late => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => {
                self.read_timer.as_mut().reset(deadline);
                self.read_timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
