//! A COPY from a server that is played here.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::{Block, CopyOut, LONGEST};
use crate::extract::postgres::wire::{WireError, connection::WireConnection, frame::Frames};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// What a server sends after `CopyOutResponse` for `payloads`.
fn copy(payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes: Vec<u8> = payloads.iter().flat_map(|payload| message(b'd', payload)).collect();
    bytes.extend(message(b'c', b""));
    bytes.extend(message(b'C', format!("COPY {}\0", payloads.len()).as_bytes()));
    bytes.extend(message(b'Z', b"I"));
    bytes
}

/// Reads a COPY whose bytes come in pieces of `piece`; all payloads, and the server's row count.
async fn read(bytes: Vec<u8>, piece: usize) -> Result<(Vec<Vec<u8>>, Option<u64>), WireError> {
    let (mut server, client) = tokio::io::duplex(piece.max(1));
    let sender = tokio::spawn(async move {
        // The reader may give up before the end.
        let _ = server.write_all(&bytes).await;
    });
    let mut copy = CopyOut::new(WireConnection::of(Frames::new(Box::new(client), None)));
    let (mut payloads, mut block) = (Vec::new(), Block::default());
    let end = loop {
        match copy.next_block(block).await {
            Ok(Some(next)) => {
                payloads.extend(next.payloads().map(|range| next.bytes()[range].to_vec()));
                block = next;
            }
            Ok(None) => break Ok((payloads, copy.rows())),
            Err(error) => {
                assert!(copy.next_block(Block::default()).await.is_err());
                assert_eq!(copy.rows(), None);
                break Err(error);
            }
        }
    };
    drop(copy);
    let _ = sender.await;
    end
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn payloads_come_whole_and_in_order() {
    let large = vec![7; 700_000];
    let small: Vec<Vec<u8>> = (0..20_000_u32).map(|at| at.to_be_bytes().repeat(10)).collect();
    let mut payloads: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
    payloads.insert(10_000, &large);
    payloads.insert(5, b"");
    for piece in [1_000, 8_192, 1 << 20, 1 << 24] {
        let (read, rows) = run(read(copy(&payloads), piece)).unwrap();
        assert!(read == payloads, "in pieces of {piece}");
        assert_eq!(rows, Some(20_002));
    }
    let few = copy(&payloads[..3]);
    assert_eq!(run(read(few, 1)).unwrap().0, &payloads[..3]);
}

#[test]
fn large_messages_are_announced_before_they_are_read() {
    let large = vec![7; 3 << 20];
    for payloads in [vec![&large[..], b"a", b"b"], vec![b"a", &large, &large, b"b", b"c"]] {
        let bytes = copy(&payloads);
        let announced = run(async move {
            let (mut server, client) = tokio::io::duplex(100_000);
            tokio::spawn(async move { server.write_all(&bytes).await });
            let mut copy = CopyOut::new(WireConnection::of(Frames::new(Box::new(client), None)));
            let mut announced = Vec::new();
            let mut block = Block::default();
            loop {
                let held = block.bytes().len();
                assert!(held < 1 << 20, "a large message came unannounced: {held}");
                announced.extend(copy.announced());
                let told = copy.announced().is_some();
                let Some(next) = copy.next_block(block).await.unwrap() else { break announced };
                block = if told { next.cleared() } else { next };
            }
        });
        let expected = payloads.iter().filter(|payload| payload.len() > 5).count();
        assert_eq!(announced, vec![5 + large.len(); expected]);
    }
}

#[test]
fn notices_may_come_between() {
    let mut bytes = message(b'd', b"a");
    bytes.extend(message(b'N', b"SNOTICE\0\0"));
    bytes.extend(copy(&[b"b"]));
    assert_eq!(run(read(bytes, 64)).unwrap(), (vec![b"a".to_vec(), b"b".to_vec()], Some(1)));
}

#[test]
fn only_a_whole_copy_is_one() {
    let whole = copy(&[b"one", b"two"]);
    for end in 0..whole.len() {
        let error = run(read(whole[..end].to_vec(), 64)).unwrap_err();
        assert!(matches!(error, WireError::Lost(_)), "ended at {end}: {error}");
    }
    let error = message(b'E', b"SERROR\0C40001\0Mconflict with recovery\0\0");
    let bytes = [&message(b'd', b"one")[..], &error, &message(b'Z', b"I")].concat();
    assert_eq!(run(read(bytes, 64)).unwrap_err().sqlstate(), Some("40001"));
}

#[test]
fn messages_out_of_order_are_refused() {
    let complete = message(b'C', b"COPY 0\0");
    for bytes in [
        complete.clone(),
        message(b'Z', b"I"),
        message(b'D', b"\0\0"),
        [message(b'c', b""), message(b'd', b"late")].concat(),
        [message(b'c', b""), message(b'C', b"SELECT 1\0")].concat(),
        [copy(&[]), complete].concat(),
    ] {
        let error = run(read(bytes.clone(), 1 << 10)).unwrap_err();
        assert!(matches!(error, WireError::Protocol(_)), "{bytes:?}: {error}");
    }
}

#[test]
fn lengths_are_not_believed() {
    for len in [0, 3, LONGEST as u32 + 1, u32::MAX] {
        let bytes = [&[b'd'][..], &len.to_be_bytes(), &[0; 100]].concat();
        assert!(matches!(run(read(bytes, 64)).unwrap_err(), WireError::Protocol(_)), "{len}");
    }
    // A message that claims a gibibyte and stops takes no more memory than what came.
    let bytes = [&[b'd'][..], &(1_u32 << 30).to_be_bytes(), &[0; 100]].concat();
    run(async {
        let (mut server, client) = tokio::io::duplex(1 << 10);
        server.write_all(&bytes).await.unwrap();
        drop(server);
        let mut copy = CopyOut::new(WireConnection::of(Frames::new(Box::new(client), None)));
        // What it announces is given out as an empty block first, so that room can be made.
        let block = copy.next_block(Block::default()).await.unwrap().unwrap();
        assert_eq!(copy.announced(), Some((1 << 30) + 1));
        let mut filling = copy.begin(block).unwrap().unwrap();
        assert!(copy.advance(&mut filling).unwrap().unwrap() < 1 << 20);
    });
}

/// A COPY over a real socket, out of its runtime.
async fn detached(send: impl FnOnce(&mut std::net::TcpStream) + Send + 'static) -> CopyOut {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || send(&mut listener.accept().unwrap().0));
    let client = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut copy = CopyOut::new(WireConnection::of(Frames::new(Box::new(client), None)));
    assert!(copy.detach().unwrap());
    copy
}

#[test]
fn a_thread_reads_by_itself_and_gives_the_socket_back() {
    use std::io::{Read, Write};
    let payloads: Vec<Vec<u8>> = (0..60_000_u32).map(|at| at.to_be_bytes().repeat(16)).collect();
    let bytes = copy(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
    run(async move {
        let mut copy = detached(move |server| {
            for piece in bytes.chunks(8 << 10) {
                server.write_all(piece).unwrap();
            }
            // An answer to whatever comes next.
            server.read_exact(&mut [0]).unwrap();
            server.write_all(&message(b'Z', b"I")).unwrap();
        })
        .await;
        let (mut found, mut block) = (Vec::new(), Block::default());
        while let Some(next) = copy.next_block_here(block, &mut || false).unwrap() {
            found.extend(next.payloads().map(|range| next.bytes()[range].to_vec()));
            block = next;
        }
        assert!(found == payloads);
        assert_eq!(copy.rows(), Some(60_000));
        let mut connection = copy.into_connection().unwrap();
        connection.frames.send(b"?").await.unwrap();
        assert_eq!(connection.frames.next().await.unwrap().tag, b'Z');
    });
}

#[test]
fn a_thread_that_reads_can_be_called_off_and_sees_the_end() {
    run(async {
        let mut copy = detached(|server| {
            let _ = std::io::Read::read(server, &mut [0]);
        })
        .await;
        let mut asked = 0;
        let error = copy.next_block_here(Block::default(), &mut || {
            asked += 1;
            asked > 2
        });
        assert!(error.err().unwrap().to_string().contains("given up"));
        let mut copy = detached(|_| {}).await;
        assert!(copy.next_block_here(Block::default(), &mut || false).is_err());
        assert!(copy.into_connection().is_none());
    });
}

proptest! {
    #[test]
    fn noise_can_not_hurt(noise in proptest::collection::vec(any::<u8>(), 0..4_000)) {
        prop_assert!(run(read(noise, 256)).is_err());
    }
}
