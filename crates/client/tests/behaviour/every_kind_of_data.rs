//! What is published is what is delivered, whatever it is and however it is fetched.

use tidings_client::{Message, Since, Transport};

use crate::support::{TestHub, client, next_event};

#[tokio::test]
async fn text_json_and_bytes_come_back_as_they_were() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let topic = "größe/a b/../?#%2f";
    let data: [(Message, &[u8]); 6] = [
        (Message::text(" two\nlines\r\nand \u{1}\u{2028} "), " two\nlines\r\nand \u{1}\u{2028} ".as_bytes()),
        (Message::text(""), b""),
        (
            Message::json_text("{\"n\":1.0,  \"big\":123456789012345678901234567890}"),
            b"{\"n\":1.0,  \"big\":123456789012345678901234567890}",
        ),
        (Message::bytes((0..=255).collect::<Vec<u8>>()), &(0..=255).collect::<Vec<u8>>()),
        (Message::bytes(Vec::new()), b""),
        // Each byte of it takes six in JSON.
        (Message::text("\u{1}".repeat(1 << 20)), &[1; 1 << 20]),
    ];
    for (number, (message, _)) in data.iter().enumerate() {
        client.publish(topic, message.clone().event_type(format!("t{number}"))).await.unwrap();
    }
    for transport in [Transport::Sse, Transport::WebSocket, Transport::LongPoll] {
        let mut subscription =
            client.subscribe([topic, "another"]).since(Since::Earliest).transport(transport).open().unwrap();
        for (number, (_, bytes)) in data.iter().enumerate() {
            let event = next_event(&mut subscription).await;
            assert!(*event.bytes() == **bytes, "{transport}: event {number}");
            assert_eq!(event.topic(), topic);
            assert_eq!(event.event_type(), Some(format!("t{number}").as_str()));
            assert!(event.timestamp().is_some());
        }
    }
}

#[tokio::test]
async fn json_is_the_same_by_every_transport() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let published = [
        " \t{\"a\":\r\n1,\n \"b\":\r[1, 2 ]\r\n}\r\n ",
        "\n\n7 \n",
        "[\"line\\nbreak\",\n\"x\"]",
        "\r\"text\"\n",
    ];
    let expected = ["{\"a\":  1,  \"b\": [1, 2 ]  }", "7", "[\"line\\nbreak\", \"x\"]", "text"];
    for json in published {
        client.publish("a", Message::json_text(json)).await.unwrap();
    }
    for transport in [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll] {
        for selectors in [&["a"][..], &["a", "b"], &["*"]] {
            let subscribe = client.subscribe(selectors.iter().copied()).since(Since::Earliest);
            let mut subscription = subscribe.transport(transport).open().unwrap();
            for expected in expected {
                let event = next_event(&mut subscription).await;
                assert_eq!(event.text(), expected, "{transport}");
                assert!(!event.object().data.get().contains(['\n', '\r']), "{transport}");
            }
        }
    }
}

#[tokio::test]
async fn a_topic_with_dots_and_empty_segments_is_that_topic() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    for topic in ["a/../b", "a/./b", "a//b", ".", ".."] {
        let published = client.publish(topic, topic).await.unwrap();
        assert!(published.id().is_some());
        let again = client.publish(topic, topic).idempotency_key(format!("key-{}", topic.len()));
        assert_eq!(again.await.unwrap().ids().len(), 1);
        let mut subscription = client.subscribe([topic]).since(Since::Earliest).open().unwrap();
        let event = next_event(&mut subscription).await;
        assert_eq!((event.topic(), event.text().as_str()), (topic, topic));
    }
}

#[tokio::test]
async fn a_subscription_may_ask_for_some_types_only() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let published = client
        .publish_each([
            ("a/1", Message::text("no")),
            ("a/2", Message::text("yes").event_type("b c")),
            ("b/1", Message::text("no").event_type("b c")),
        ])
        .await
        .unwrap();
    assert_eq!(published.ids().len(), 3);
    let subscribe = client.subscribe(["a/*"]).since(Since::Earliest).event_types(["b c"]);
    let event = next_event(&mut subscribe.open().unwrap()).await;
    assert_eq!((event.topic(), event.text().as_str(), event.id()), ("a/2", "yes", &*published.ids()[1]));
}
