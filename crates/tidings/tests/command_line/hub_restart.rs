//! Restarts of the hub, clean and not, lose no line and double none.

use rustix::process::Signal;

use crate::support::Hub;

const BURST: usize = 40;

#[test]
fn every_line_arrives_once_and_in_order() {
    for transport in ["auto", "websocket", "long-poll"] {
        let mut hub = Hub::start();
        let subscriber =
            hub.run(&["subscribe", "a", "--since", "earliest", "--transport", transport, "--json"]);
        let mut publisher = hub.run(&["publish", "a", "--lines"]);
        let mut written = 0;
        let mut write = |publisher: &mut crate::support::Program| {
            let lines: String = (0..BURST).map(|number| format!("{}\n", written + number)).collect();
            publisher.write(lines);
            written += BURST;
        };

        write(&mut publisher);
        let mut received = subscriber.lines(BURST);
        for signal in [Signal::TERM, Signal::KILL, Signal::TERM] {
            // Some of these are under way while the hub goes down, some are only written then.
            write(&mut publisher);
            received.push(subscriber.line());
            hub.restart(signal);
            write(&mut publisher);
        }
        received.extend(subscriber.lines(7 * BURST - received.len()));
        publisher.close_stdin();
        let (code, ids, told) = publisher.end();
        assert_eq!(code, Some(0));
        only_of_restarts(&told);

        let events: Vec<serde_json::Value> =
            received.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let data: Vec<_> = events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = (0..7 * BURST).map(|number| number.to_string()).collect();
        assert_eq!(data, expected);
        let delivered: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(delivered, ids);

        subscriber.signal(Signal::INT);
        let (code, more, told) = subscriber.end();
        assert_eq!((code, more), (Some(0), vec![]));
        only_of_restarts(&told);
    }
}

/// Away from a terminal, what goes as it should is not spoken of.
fn only_of_restarts(told: &[String]) {
    for line in told {
        let is_of_one = ["; trying again ", "; connecting again ", "the hub answers again, after "];
        assert!(is_of_one.iter().any(|words| line.contains(words)), "{line}");
    }
}
