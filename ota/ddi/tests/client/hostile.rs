//! Servers, and proxies in between, that stall, lie and flood.

use std::time::{Duration, Instant};

use roamcore_ddi::client::{Advice, ClientError};
use roamcore_ddi::messages::MAX_DOCUMENT;

use crate::client;
use crate::server::{Act, Server, head, reply};

async fn poll_error(acts: Vec<Act>) -> ClientError {
    let server = Server::start(move |_| acts.clone());
    let began = Instant::now();
    let error = client(&server).poll().await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(error.advice(), Advice::Backoff, "{error}");
    error
}

#[tokio::test]
async fn a_slow_loris_is_left() {
    let every = Duration::from_millis(50);
    let answer = [head("200 OK", &[], Some(2000)), vec![b' '; 2000]].concat();
    let late = poll_error(vec![Act::Trickle(answer, every)]).await;
    assert!(matches!(late, ClientError::Late { .. }), "{late}");
    let body = vec![
        Act::Send(head("200 OK", &[], Some(2000))),
        Act::Trickle(vec![b' '; 2000], every),
    ];
    let late = poll_error(body).await;
    assert!(matches!(late, ClientError::Late { .. }), "{late}");
    let silent = poll_error(vec![Act::Pause(Duration::from_secs(30))]).await;
    assert!(
        silent
            .to_string()
            .contains("gave no complete answer within 0.5 s"),
        "{silent}"
    );
}

#[tokio::test]
async fn lengths_that_lie() {
    let short = [head("200 OK", &[], Some(100)), b"{}".to_vec()].concat();
    let error = poll_error(vec![Act::Send(short), Act::Close]).await;
    assert!(matches!(error, ClientError::Network { .. }), "{error}");
    let negative = b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}".to_vec();
    poll_error(vec![Act::Send(negative), Act::Close]).await;
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x".to_vec();
    poll_error(vec![Act::Send(two), Act::Close]).await;
    let chunk =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}".to_vec();
    poll_error(vec![Act::Send(chunk), Act::Close]).await;
}

#[tokio::test]
async fn endless_data_ends() {
    let announced = head("200 OK", &[], Some(MAX_DOCUMENT + 1));
    let error = poll_error(vec![
        Act::Send(announced),
        Act::Pause(Duration::from_secs(30)),
    ])
    .await;
    assert!(matches!(error, ClientError::Document { .. }), "{error}");
    let piece = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut acts = vec![Act::Send(head(
        "200 OK",
        &[("Transfer-Encoding", "chunked")],
        None,
    ))];
    acts.extend(std::iter::repeat_n(Act::Send(piece), 100));
    let server = Server::start(move |_| acts.clone());
    let client = client(&server);
    let error = client.poll().await.unwrap_err();
    assert!(matches!(error, ClientError::Document { .. }), "{error}");
    assert!(
        client.received() < 2 * MAX_DOCUMENT as u64,
        "{}",
        client.received()
    );
}

#[tokio::test]
async fn endless_headers_end() {
    let line = format!("X-Filler: {}\r\n", "x".repeat(8000)).into_bytes();
    let mut acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\n".to_vec())];
    acts.extend(std::iter::repeat_n(Act::Send(line), 1000));
    poll_error(acts).await;
}

#[tokio::test]
async fn garbage_is_a_typed_error() {
    for body in [
        "",
        "{",
        "[]",
        "null",
        "<html>",
        "{\"_links\": 5}",
        "\u{feff}{}",
    ] {
        let error = poll_error(reply("200 OK", &[], body.as_bytes())).await;
        assert!(
            matches!(error, ClientError::Document { .. }),
            "{body:?}: {error}"
        );
    }
    let server = Server::start(|_| {
        reply(
            "200 OK",
            &[],
            br#"{"_links": {"deploymentBase": {"href": "/x/../5"}}}"#,
        )
    });
    let poll = client(&server).poll().await.unwrap().poll;
    assert!(poll.deployment().is_err());
    for garbage in [
        &b"SSH-2.0-OpenSSH\r\n"[..],
        b"\x16\x03\x01\x02",
        b"\0\0\0\0\n\n\n\n",
    ] {
        poll_error(vec![Act::Send(garbage.to_vec()), Act::Close]).await;
    }
    poll_error(vec![Act::Close]).await;
}

#[tokio::test]
async fn an_error_that_floods_is_still_that_error() {
    let acts = vec![
        Act::Send(head("404 Not Found", &[], Some(1 << 30))),
        Act::Send(vec![b'x'; 1 << 20]),
        Act::Close,
    ];
    let server = Server::start(move |_| acts.clone());
    let error = client(&server).poll().await.unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert_eq!(error.advice(), Advice::Resync);
}
