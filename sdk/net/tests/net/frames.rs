//! Frames as a hostile peer writes them: oversized, cut short, with a tail, or never coming.

use crate::world::{RawClient, World, soon};
use cloister_net::{ALPN, Connection, FRAME_BYTES_MAX, FrameError, StreamError};
use rustls::client::Resumption;
use std::time::Duration;

/// What the server reads with a limit of 16 bytes when a raw peer writes `bytes` and ends.
async fn read_raw(bytes: &[u8]) -> Result<Vec<u8>, StreamError> {
    let world = World::new();
    let node = world.node("north");
    let client =
        RawClient { identity: Some(&node), alpn: Some(ALPN), resumption: Resumption::disabled() };
    let quic = client.greeted(&world).await.unwrap();
    let (_, here) = soon(world.server.accept()).await.unwrap();
    let (mut send, _recv) = quic.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    let mut stream = soon(here.accept_bi()).await.unwrap();
    soon(stream.read_last_frame(16)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_frames_are_read_or_named() {
    let missing = |missing| Err(StreamError::Frame(FrameError::Truncated { missing }));
    let oversized =
        |claimed| Err(StreamError::Frame(FrameError::Oversized { claimed, bytes_max: 16 }));
    assert_eq!(read_raw(&[2, 0, 0, 0, 8, 9]).await, Ok(vec![8, 9]));
    assert_eq!(read_raw(&[]).await, missing(4));
    assert_eq!(read_raw(&[2, 0, 0]).await, missing(1));
    assert_eq!(read_raw(&[9, 0, 0, 0, 1, 2]).await, missing(7));
    assert_eq!(read_raw(&[17, 0, 0, 0, 1]).await, oversized(17));
    assert_eq!(read_raw(&[255; 4]).await, oversized(u32::MAX as usize));
    let tail = read_raw(&[1, 0, 0, 0, 1, 2]).await;
    assert_eq!(tail, Err(StreamError::Frame(FrameError::Trailing)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_callers_limit_is_refused() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    tokio::spawn(async move {
        let mut stream = here.accept_bi().await.unwrap();
        stream.read_last_frame(64).await.unwrap();
        stream.answer(&[0; 65]).await.unwrap();
        here.closed().await
    });
    let refused = there.call(b"ask", 64, Duration::from_secs(60)).await;
    let expected = FrameError::Oversized { claimed: 65, bytes_max: 64 };
    assert_eq!(refused, Err(StreamError::Frame(expected)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_over_the_limit_is_sent_or_allowed_for() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    let mut stream = there.open_bi().await.unwrap();
    let claimed = FRAME_BYTES_MAX + 1;
    let expected =
        Err(StreamError::Frame(FrameError::Oversized { claimed, bytes_max: FRAME_BYTES_MAX }));
    assert_eq!(stream.write_frame(&vec![0; claimed]).await, expected);
    stream.write_frame(b"small").await.unwrap();
    let mut other = soon(here.accept_bi()).await.unwrap();
    assert_eq!(soon(other.read_frame(usize::MAX)).await, Ok(b"small".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_never_answered_ends_at_its_deadline() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    let refused = there.call(b"ask", 64, Duration::from_millis(50)).await;
    assert_eq!(refused, Err(StreamError::Deadline { waited_ms: 50 }));
    // The stream was given up; the connection lives on.
    assert!(here.close_reason().is_none() && there.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_larger_than_every_window_arrives() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    let body = vec![5; 20 * 1024 * 1024];
    let send = |connection: Connection, body: Vec<u8>| async move {
        let mut stream = connection.open_bi().await?;
        stream.write_frame(&body).await?;
        stream.finish()
    };
    let sent = tokio::spawn(send(there.clone(), body.clone()));
    let mut stream = soon(here.accept_bi()).await.unwrap();
    assert!(soon(stream.read_last_frame(body.len())).await.unwrap() == body);
    sent.await.unwrap().unwrap();
}
