//! Ranges: resumed, refused, ignored, cut and lied about. The sink never gets a wrong byte.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roamcore_ddi::client::{Advice, Client, ClientError, Source};
use roamcore_ddi::messages::{Artifact, Hashes, Link};

use crate::server::{Act, Request, Server, file, head, reply};
use crate::{Waits, client};

const SIZE: usize = 5000;
const TAG: &str = "\"5ha1\"";

pub fn content() -> Vec<u8> {
    (0..SIZE).map(|n| (n * 7 % 251) as u8).collect()
}

pub fn artifact(url: String, size: usize) -> Artifact {
    Artifact {
        filename: "root.000".into(),
        hashes: Hashes::default(),
        size: size as u64,
        links: [("download-http".to_owned(), Link::to(url))].into(),
    }
}

pub fn source(client: &Client, server: &Server) -> Source {
    let artifact = artifact(format!("{}/file", server.url()), SIZE);
    client.source(&artifact, SIZE as u64).unwrap()
}

struct Run {
    result: Result<(), ClientError>,
    got: Vec<u8>,
    waits: usize,
    server: Server,
}

/// Fetches `range` from a server that does what `handler` says.
async fn fetch(
    range: Range<usize>,
    handler: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
) -> Run {
    let server = Server::start(handler);
    let client = client(&server);
    let mut source = source(&client, &server);
    let (waits, mut got) = (Waits::default(), Vec::new());
    let mut sink = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    let wanted = range.start as u64..range.end as u64;
    let result = client.fetch(&mut source, wanted, &waits, &mut sink).await;
    let whole = content();
    let end = (range.start + got.len()).min(SIZE);
    assert_eq!(got, whole[range.start..end], "the sink got something else");
    assert!(got.len() <= range.len());
    Run {
        result,
        got,
        waits: waits.count(),
        server,
    }
}

#[tokio::test]
async fn a_range_and_the_whole() {
    for range in [0..SIZE, 0..1, 1000..1100, SIZE - 1..SIZE, 0..SIZE - 1] {
        let run = fetch(range.clone(), |request| file(request, &content(), TAG)).await;
        run.result.unwrap();
        assert_eq!(run.got.len(), range.len());
        let asked = run.server.requests()[0].header("range").map(str::to_owned);
        let want = (range != (0..SIZE)).then(|| format!("bytes={}-{}", range.start, range.end - 1));
        assert_eq!(asked, want);
        assert_eq!(
            run.server.requests()[0].header("accept-encoding"),
            Some("identity")
        );
    }
    let nothing = fetch(7..7, |_| panic!("nothing was wanted")).await;
    nothing.result.unwrap();
}

/// Sends only `bytes` of the body of a correct answer, then ends the connection.
fn cut(acts: Vec<Act>, bytes: usize) -> Vec<Act> {
    let Some(Act::Send(answer)) = acts.into_iter().next() else {
        panic!("no answer")
    };
    let body = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    vec![
        Act::Send(answer[..answer.len().min(body + bytes)].to_vec()),
        Act::Close,
    ]
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_ended() {
    let run = fetch(100..4100, |request| {
        cut(file(request, &content(), TAG), 1500)
    })
    .await;
    run.result.unwrap();
    assert_eq!(run.got.len(), 4000);
    let asked: Vec<_> = run
        .server
        .requests()
        .iter()
        .map(|r| {
            (
                r.header("range").unwrap().to_owned(),
                r.header("if-range").map(str::to_owned),
            )
        })
        .collect();
    let tag = Some(TAG.to_owned());
    assert_eq!(
        asked,
        [
            ("bytes=100-4099".to_owned(), None),
            ("bytes=1600-4099".to_owned(), tag.clone()),
            ("bytes=3100-4099".to_owned(), tag),
        ]
    );
    assert_eq!(run.waits, 2);
}

#[tokio::test]
async fn attempts_without_a_byte_are_bounded() {
    let run = fetch(0..SIZE, |_| vec![Act::Close]).await;
    assert!(matches!(run.result, Err(ClientError::Network { .. })));
    assert_eq!((run.server.requests().len(), run.waits), (4, 3));
    let mut answers = 0;
    let run = fetch(0..SIZE, move |request| {
        answers += 1;
        // Each byte that arrives starts the count anew.
        if answers % 3 == 0 {
            cut(file(request, &content(), TAG), 1000)
        } else {
            reply("503 Busy", &[], b"")
        }
    });
    run.await.result.unwrap();
}

#[tokio::test]
async fn statuses_end_a_download_or_not() {
    for (status, requests, advice) in [
        ("401 Unauthorized", 1, Advice::Credentials),
        ("403 Forbidden", 1, Advice::Credentials),
        ("404 Not Found", 1, Advice::Resync),
        ("410 Gone", 1, Advice::Gone),
        ("412 Precondition Failed", 1, Advice::Resync),
        ("400 Bad Request", 1, Advice::Never),
        ("204 No Content", 1, Advice::Never),
        ("423 Locked", 4, Advice::Backoff),
        ("429 Too Many Requests", 4, Advice::Backoff),
        ("500 Oops", 4, Advice::Backoff),
    ] {
        let run = fetch(5..50, move |_| reply(status, &[], b"")).await;
        assert_eq!(run.result.unwrap_err().advice(), advice, "{status}");
        assert_eq!(run.server.requests().len(), requests, "{status}");
    }
}

#[tokio::test]
async fn a_whole_file_for_a_range_does_no_harm() {
    let whole = |_: &Request| reply("200 OK", &[("ETag", TAG)], &content());
    for range in [0..10, 500..700, 1000..SIZE] {
        let run = fetch(range.clone(), whole).await;
        run.result.unwrap();
        assert_eq!(run.got.len(), range.len());
    }
    let far = fetch(1001..1002, whole).await;
    assert!(matches!(
        far.result,
        Err(ClientError::NoRanges {
            start: 1001,
            limit: 1000,
            ..
        })
    ));
    assert_eq!((far.got.len(), far.server.requests().len()), (0, 1));
}

#[tokio::test]
async fn what_is_not_the_signed_file_is_refused() {
    let range = "bytes 10-19/5000";
    let ten = || content()[10..20].to_vec();
    type Headers = Vec<(&'static str, &'static str)>;
    let cases: [(&str, Headers, Vec<u8>); 9] = [
        (
            "206 Partial Content",
            vec![("Content-Range", "bytes 0-9/5000")],
            ten(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Range", "bytes 10-19/5001")],
            ten(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Range", "bytes 10-20/5000")],
            content()[10..21].to_vec(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Range", range)],
            content()[10..19].to_vec(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Range", "nonsense")],
            ten(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Type", "multipart/byteranges; boundary=x")],
            ten(),
        ),
        (
            "206 Partial Content",
            vec![("Content-Range", range), ("Content-Encoding", "gzip")],
            ten(),
        ),
        ("200 OK", vec![], content()[1..].to_vec()),
        (
            "416 Range Not Satisfiable",
            vec![("Content-Range", "bytes */15")],
            vec![],
        ),
    ];
    for (status, headers, body) in cases {
        let text = format!("{status} {headers:?}");
        let run = fetch(10..20, move |_| reply(status, &headers, &body)).await;
        let error = run.result.unwrap_err();
        assert!(
            matches!(error, ClientError::NotTheFile { .. }),
            "{text}: {error}"
        );
        assert_eq!(error.advice(), Advice::Never);
        assert_eq!(
            (run.got.len(), run.server.requests().len()),
            (0, 1),
            "{text}"
        );
    }
    let strange = fetch(10..20, |_| reply("416 Range Not Satisfiable", &[], b"")).await;
    assert_eq!(strange.result.unwrap_err().advice(), Advice::Resync);
}

#[tokio::test]
async fn a_short_partial_answer_is_continued() {
    let run = fetch(0..100, |request| {
        let first: usize = request.header("range").unwrap()[6..]
            .split('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let last = (first + 29).min(99);
        let range = format!("bytes {first}-{last}/{SIZE}");
        reply(
            "206 Partial Content",
            &[("Content-Range", &range)],
            &content()[first..=last],
        )
    })
    .await;
    run.result.unwrap();
    assert_eq!(
        (run.got.len(), run.server.requests().len(), run.waits),
        (100, 4, 0)
    );
}

#[tokio::test]
async fn a_body_that_goes_on_is_not_read() {
    let run = fetch(10..20, |_| {
        let mut bytes = head(
            "206 Partial Content",
            &[("Content-Range", "bytes 10-19/5000")],
            None,
        );
        bytes.extend_from_slice(&content()[10..40]);
        vec![Act::Send(bytes), Act::Close]
    })
    .await;
    run.result.unwrap();
    assert_eq!(run.got.len(), 10);
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let mut first = true;
    let run = fetch(0..1000, move |request| {
        match std::mem::take(&mut first) {
            true => cut(file(request, &content(), "\"old\""), 400),
            // If-Range no longer matches: the answer is the whole new file.
            false => file(request, &vec![0; SIZE], "\"new\""),
        }
    })
    .await;
    let error = run.result.unwrap_err();
    assert!(matches!(error, ClientError::Changed { .. }), "{error}");
    assert_eq!((run.got.len(), error.advice()), (400, Advice::Resync));
}

#[tokio::test]
async fn weak_tags_are_no_promise() {
    let run = fetch(0..SIZE, |request| {
        cut(file(request, &content(), "W/\"x\""), 3000)
    })
    .await;
    run.result.unwrap();
    assert!(
        run.server
            .requests()
            .iter()
            .all(|r| r.header("if-range").is_none())
    );
}

#[tokio::test]
async fn a_sink_that_refuses_ends_it() {
    let server = Server::start(|request| file(request, &content(), TAG));
    let client = client(&server);
    let mut source = source(&client, &server);
    let mut sink = |_: &[u8]| Err(std::io::Error::other("disk full"));
    let error = client
        .fetch(&mut source, 0..10, &Waits::default(), &mut sink)
        .await
        .unwrap_err();
    assert!(
        crate::chain(&error).ends_with("could not be taken: disk full"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_the_server_says_must_agree_with_what_is_signed() {
    let client = Client::new(&crate::settings("http://h")).unwrap();
    let own = |url: &str| client.source(&artifact(url.into(), 5), 5).unwrap().is_own();
    assert!(own("http://h/f") && own("/f") && !own("http://cdn/f") && !own("http://h:81/f"));
    let message = client
        .source(&artifact("http://h/f".into(), 5), 6)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the server says 5 bytes, the signed size is 6"),
        "{message}"
    );
    let mut bare = artifact(String::new(), 5);
    bare.links.clear();
    assert!(
        client
            .source(&bare, 5)
            .unwrap_err()
            .to_string()
            .contains("download or download-http")
    );
}

#[tokio::test]
async fn pieces_are_handed_over_as_they_come() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start(|request| {
        let Some(Act::Send(answer)) = file(request, &content(), TAG).into_iter().next() else {
            unreachable!()
        };
        let (start, end) = answer.split_at(answer.len() - 2000);
        vec![
            Act::Send(start.to_vec()),
            Act::Pause(Duration::from_millis(150)),
            Act::Send(end.to_vec()),
        ]
    });
    let client = client(&server);
    let mut source = source(&client, &server);
    let mut sink = |bytes: &[u8]| {
        seen.lock().unwrap().push((bytes.len(), Instant::now()));
        Ok(())
    };
    client
        .fetch(&mut source, 0..SIZE as u64, &Waits::default(), &mut sink)
        .await
        .unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.last().unwrap().1 - seen[0].1 >= Duration::from_millis(100));
}

#[tokio::test]
async fn ranges_share_a_connection() {
    let server = Server::start(|request| file(request, &content(), TAG));
    let client = client(&server);
    let mut source = source(&client, &server);
    let mut count = 0;
    for start in (0..SIZE as u64).step_by(100) {
        let mut sink = |bytes: &[u8]| {
            count += bytes.len();
            Ok(())
        };
        client
            .fetch(
                &mut source,
                start..start + 100,
                &Waits::default(),
                &mut sink,
            )
            .await
            .unwrap();
    }
    assert_eq!(count, SIZE);
    assert_eq!((server.requests().len(), server.connections()), (50, 1));
}
