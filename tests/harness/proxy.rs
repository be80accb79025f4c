//! A TCP proxy on loopback that breaks connections on demand.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::oneshot,
};

/// What goes wrong, counted on each connection by itself.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection closes in order after so many bytes of answers.
    Close {
        /// Bytes that still arrive.
        after: u64,
    },
    /// The connection is reset after so many bytes of answers.
    Reset {
        /// Bytes that still arrive.
        after: u64,
    },
    /// The byte after so many bytes of answers arrives with one of its bits flipped.
    Corrupt {
        /// Bytes that arrive before it.
        after: u64,
    },
    /// After so many bytes of answers nothing comes any more, and nobody says why.
    Stall {
        /// Bytes that still arrive.
        after: u64,
    },
    /// A request that holds these bytes reaches the server; the connection closes in the midst of
    /// the answer.
    CutAnswer {
        /// What to look for.
        request: Vec<u8>,
        /// Bytes of the answer that still arrive.
        after: u64,
    },
    /// A request that holds these bytes reaches the server, which does its work; the connection
    /// closes instead of the answer.
    SwallowAnswer {
        /// What to look for.
        request: Vec<u8>,
    },
}

/// A running proxy; dropping it closes everything.
pub(crate) struct Proxy {
    upstream: SocketAddr,
    address: SocketAddr,
    plan: Arc<Plan>,
    _stop: oneshot::Sender<()>,
}

impl Proxy {
    /// Passes everything on to a server on loopback until a fault is injected.
    pub(crate) fn start(upstream_port: u16) -> Self {
        let upstream = SocketAddr::from(([127, 0, 0, 1], upstream_port));
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Plan::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let accepting = accept(listener, upstream, Arc::clone(&plan));
        // A thread and a runtime of its own, so that it serves tests that block theirs.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        });
        Self { upstream, address, plan, _stop: stop }
    }

    /// `url` led through the proxy.
    pub(crate) fn lead(&self, url: &str) -> String {
        let led = url.replace(&self.upstream.to_string(), &self.address.to_string());
        assert_ne!(led, url, "the URL does not lead to the server behind the proxy");
        led
    }

    /// From now on the next `times` connections that get so far meet `fault`.
    pub(crate) fn inject(&self, fault: Fault, times: usize) {
        *self.plan.due.lock().unwrap() = Some((fault, times));
    }

    /// The most bytes of answers that one connection has had so far.
    pub(crate) fn longest(&self) -> u64 {
        self.plan.longest.load(Ordering::Relaxed)
    }

    /// How many times the injected fault has yet to happen.
    pub(crate) fn pending(&self) -> usize {
        self.plan.due.lock().unwrap().as_ref().map_or(0, |(_, times)| *times)
    }
}

#[derive(Default)]
struct Plan {
    due: Mutex<Option<(Fault, usize)>>,
    /// The most bytes of answers that one connection has had.
    longest: AtomicU64,
}

impl Plan {
    fn fault(&self) -> Option<Fault> {
        self.due.lock().unwrap().as_ref().filter(|(_, times)| *times > 0).map(|(it, _)| it.clone())
    }

    /// Takes one of the remaining times, if there is one.
    fn claim(&self) -> bool {
        let mut plan = self.due.lock().unwrap();
        match plan.as_mut() {
            Some((_, times)) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }
}

enum End {
    Close,
    Reset,
    Stall,
}

async fn accept(listener: StdListener, upstream: SocketAddr, plan: Arc<Plan>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        if let Ok(server) = TcpStream::connect(upstream).await {
            tokio::spawn(relay(client, server, Arc::clone(&plan)));
        }
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, plan: Arc<Plan>) {
    let cut = Mutex::new(None);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let end = tokio::select! {
        end = ask(from_client, to_server, &plan, &cut) => end,
        end = answer(from_server, to_client, &plan, &cut) => end,
    };
    match end {
        End::Close => {}
        End::Reset => client.set_zero_linger().unwrap(),
        End::Stall => std::future::pending().await,
    }
}

/// Passes requests on, and watches for the one whose answer is to be cut: after how many bytes.
async fn ask(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    plan: &Plan,
    cut: &Mutex<Option<u64>>,
) -> End {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return End::Close };
        let watched = match plan.fault() {
            Some(Fault::SwallowAnswer { request }) => Some((request, 0)),
            Some(Fault::CutAnswer { request, after }) => Some((request, after)),
            _ => None,
        };
        if let Some((request, after)) = watched {
            seen.extend_from_slice(&buffer[..read]);
            if seen.windows(request.len()).any(|window| window == request) && plan.claim() {
                *cut.lock().unwrap() = Some(after);
            }
            // What a request split over two reads needs, and no more.
            seen.drain(..seen.len().saturating_sub(request.len() - 1));
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return End::Close;
        }
    }
}

/// Passes answers on, as far as the plan allows.
async fn answer(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    plan: &Plan,
    cut: &Mutex<Option<u64>>,
) -> End {
    let mut passed = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(mut read @ 1..) = from.read(&mut buffer).await else { return End::Close };
        let mut is_cut = false;
        if let Some(left) = cut.lock().unwrap().as_mut() {
            let part = read.min(*left as usize);
            *left -= part as u64;
            read = part;
            is_cut = *left == 0;
        }
        let (limit, end) = match plan.fault() {
            Some(Fault::Close { after }) => (after, End::Close),
            Some(Fault::Reset { after }) => (after, End::Reset),
            Some(Fault::Stall { after }) => (after, End::Stall),
            _ => (u64::MAX, End::Close),
        };
        if let Some(Fault::Corrupt { after }) = plan.fault()
            && let Some(at) = after.checked_sub(passed)
            && at < read as u64
            && plan.claim()
        {
            buffer[at as usize] ^= 1;
        }
        let is_last = passed + read as u64 > limit && plan.claim();
        let part = if is_last { limit.saturating_sub(passed) as usize } else { read };
        if to.write_all(&buffer[..part]).await.is_err() {
            return End::Close;
        }
        if is_last || is_cut {
            return end;
        }
        passed += read as u64;
        plan.longest.fetch_max(passed, Ordering::Relaxed);
    }
}
