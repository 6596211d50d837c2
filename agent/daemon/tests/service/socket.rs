//! Clients of the socket that are mad, slow or many.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use roamcore_daemon::protocol::{Answer, MOST_REQUEST, Request};
use roamcore_daemon::socket::MOST_CLIENTS;

use crate::world::World;

fn open(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.places.socket()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn exchange(stream: &mut UnixStream, bytes: &[u8]) -> Answer {
    // The service may end the conversation before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line).unwrap();
    Answer::parse(&line).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mad_clients() {
    let mut world = World::new();
    world.start().await;
    let mode = world
        .places
        .socket()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    tokio::task::block_in_place(|| {
        let lines: [&[u8]; 6] = [
            b"\n",
            b"GET / HTTP/1.1\r\n",
            b"{\"v\":2,\"request\":{\"do\":\"ping\"}}\n",
            b"{\"v\":1,\"request\":{\"do\":\"erase\"}}\n",
            b"\xff\xfe\x00\n",
            b"{\"v\":1,\"request\":[[[[[[\n",
        ];
        for line in lines {
            let answer = exchange(&mut open(&world), line);
            assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
        }
        let endless = vec![b'x'; MOST_REQUEST + 10];
        let Answer::Failed { reason } = exchange(&mut open(&world), &endless) else {
            panic!()
        };
        assert!(reason.contains("no end within 65536 bytes"), "{reason}");
        // A line without its end, and nothing at all.
        open(&world).write_all(b"{\"v\":1").unwrap();
        drop(open(&world));
        // Several requests in one conversation, also after a bad one.
        let mut stream = open(&world);
        assert!(matches!(
            exchange(&mut stream, b"?\n"),
            Answer::Failed { .. }
        ));
        for _ in 0..3 {
            let ping = Request::Ping.to_line().unwrap();
            assert!(matches!(
                exchange(&mut stream, &ping),
                Answer::Pong { problem: None, .. }
            ));
        }
    });
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn silent_clients_are_sent_away() {
    let mut world = World::new();
    world.start().await;
    tokio::task::block_in_place(|| {
        let mut silent: Vec<_> = (0..MOST_CLIENTS).map(|_| open(&world)).collect();
        // The next one waits for a place, which the silent ones lose in the end.
        let ping = Request::Ping.to_line().unwrap();
        assert!(matches!(
            exchange(&mut open(&world), &ping),
            Answer::Pong { .. }
        ));
        for stream in &mut silent {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    });
    world.stop().await;
}
