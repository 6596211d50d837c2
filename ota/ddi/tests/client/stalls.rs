//! Downloads that stop or crawl.

use std::time::{Duration, Instant};

use roamcore_ddi::client::{Advice, ClientError};

use crate::client;
use crate::downloads::{content, source};
use crate::server::{Act, Request, Server, head};

/// One attempt at the first thousand bytes.
async fn attempt(handler: fn(&Request) -> Vec<Act>) -> (ClientError, usize) {
    let server = Server::start(handler);
    let client = client(&server);
    let mut source = source(&client, &server);
    let (began, mut count) = (Instant::now(), 0);
    let mut sink = |bytes: &[u8]| {
        count += bytes.len();
        Ok(())
    };
    let error = client
        .attempt(&mut source, 0..1000, &mut sink)
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{error}");
    assert_eq!(error.advice(), Advice::Backoff, "{error}");
    (error, count)
}

fn start_of_answer() -> Act {
    let range = [("Content-Range", "bytes 0-999/5000")];
    Act::Send(head("206 Partial Content", &range, Some(1000)))
}

#[tokio::test]
async fn silence_is_noticed() {
    let (error, count) = attempt(|_| {
        let start = Act::Send(content()[..10].to_vec());
        vec![
            start_of_answer(),
            start,
            Act::Pause(Duration::from_secs(20)),
        ]
    })
    .await;
    assert!(matches!(error, ClientError::Idle { .. }), "{error}");
    assert_eq!(count, 10);
}

#[tokio::test]
async fn slowness_is_noticed() {
    let (error, count) = attempt(|_| {
        let slowly = Act::Trickle(content()[..1000].to_vec(), Duration::from_millis(40));
        vec![start_of_answer(), slowly]
    })
    .await;
    assert!(matches!(error, ClientError::Slow { .. }), "{error}");
    assert!((1..100).contains(&count), "{count}");
}
