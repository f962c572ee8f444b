//! Ctrl-C ends a subscription cleanly, whatever it is doing.

use rustix::process::Signal;

use crate::support::Hub;

#[test]
fn while_it_waits_for_events() {
    for transport in ["sse", "long-poll", "poll"] {
        let hub = Hub::start();
        assert_eq!(hub.run(&["publish", "a", "x"]).end().0, Some(0));
        let subscriber = hub.run(&["subscribe", "a", "--since", "-1", "--transport", transport]);
        assert_eq!(subscriber.line(), "x");
        subscriber.signal(Signal::INT);
        assert_eq!(subscriber.end(), (Some(0), vec![], vec![]), "{transport}");
    }
}

#[test]
fn while_the_hub_is_away() {
    let mut hub = Hub::start();
    assert_eq!(hub.run(&["publish", "a", "x"]).end().0, Some(0));
    let subscriber = hub.run(&["subscribe", "a", "--since", "-1"]);
    assert_eq!(subscriber.line(), "x");
    hub.stop();
    assert!(subscriber.told().contains("connecting again"));
    subscriber.signal(Signal::INT);
    let (code, more, _) = subscriber.end();
    assert_eq!((code, more), (Some(0), vec![]));
}
