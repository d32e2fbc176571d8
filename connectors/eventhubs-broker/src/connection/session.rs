//! A session: two windows that count transfer frames, and the links in it.

use std::collections::BTreeMap;

use fe2o3_amqp_types::definitions::Handle;
use fe2o3_amqp_types::performatives::{Begin, Flow};

use super::link::Link;

/// Transfer frames that the peer may send before it hears of us again.
pub(super) const INCOMING_WINDOW: u32 = 5_000;

/// The highest handle we take: it bounds the links of a session.
pub(super) const HANDLE_MAX: u32 = 1_023;

/// The numbers of a session. Ids wrap around, as the specification's serial numbers do.
#[derive(Debug)]
pub(super) struct Windows {
    /// The channel, which we use in both directions.
    pub channel: u16,
    /// Number of the next delivery we send.
    pub next_delivery_id: u32,
    next_incoming_id: u32,
    next_outgoing_id: u32,
    remote_incoming: u32,
    since_flow: u32,
}

/// A link's part of a flow frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkFlow {
    pub handle: u32,
    pub delivery_count: u32,
    pub credit: u32,
    pub drain: bool,
}

impl Windows {
    pub(super) fn new(channel: u16, begin: &Begin) -> Self {
        Self {
            channel,
            next_delivery_id: 0,
            next_incoming_id: begin.next_outgoing_id,
            next_outgoing_id: 0,
            remote_incoming: begin.incoming_window,
            since_flow: 0,
        }
    }

    /// Takes note of the peer's flow.
    pub(super) fn on_flow(&mut self, flow: &Flow) {
        self.next_incoming_id = flow.next_outgoing_id;
        // A peer that has not seen our begin counts from our first id, which is 0.
        let seen = flow.next_incoming_id.unwrap_or(0);
        let window_end = seen.wrapping_add(flow.incoming_window);
        let left = window_end.wrapping_sub(self.next_outgoing_id);
        // More than half the number space ahead means behind: the window is overdrawn.
        self.remote_incoming = if left > u32::MAX / 2 { 0 } else { left };
    }

    /// Counts a transfer frame that came, and says whether the peer should hear that the window is open.
    pub(super) fn on_transfer(&mut self) -> bool {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        self.since_flow += 1;
        self.since_flow >= INCOMING_WINDOW / 2
    }

    /// Whether the peer takes another transfer frame.
    pub(super) fn is_open(&self) -> bool {
        self.remote_incoming > 0
    }

    /// Counts a transfer frame that we send.
    pub(super) fn sent_frame(&mut self) {
        self.remote_incoming = self.remote_incoming.saturating_sub(1);
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
    }

    /// The number for a new delivery.
    pub(super) fn take_delivery_id(&mut self) -> u32 {
        let id = self.next_delivery_id;
        self.next_delivery_id = id.wrapping_add(1);
        id
    }

    /// A flow frame with the session's state, and a link's.
    pub(super) fn flow(&mut self, link: Option<LinkFlow>) -> Flow {
        self.since_flow = 0;
        Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: INCOMING_WINDOW,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: INCOMING_WINDOW,
            handle: link.map(|link| Handle(link.handle)),
            delivery_count: link.map(|link| link.delivery_count),
            link_credit: link.map(|link| link.credit),
            available: None,
            drain: link.is_some_and(|link| link.drain),
            echo: false,
            properties: None,
        }
    }
}

/// A session and its links, by handle; we use the peer's handle in both directions.
pub(super) struct Session {
    pub windows: Windows,
    pub links: BTreeMap<u32, Link>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(incoming_window: u32) -> Windows {
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 7,
            incoming_window,
            outgoing_window: 1,
            handle_max: Handle(9),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        Windows::new(0, &begin)
    }

    #[test]
    fn the_outgoing_window_closes_and_opens() {
        let mut windows = windows(2);
        windows.sent_frame();
        assert!(windows.is_open());
        windows.sent_frame();
        assert!(!windows.is_open());
        let mut flow = windows.flow(None);
        (flow.next_incoming_id, flow.incoming_window, flow.next_outgoing_id) = (Some(1), 2, 9);
        windows.on_flow(&flow);
        assert!(windows.is_open(), "one of two frames is seen, so one more may follow");
        windows.sent_frame();
        assert!(!windows.is_open());
        (flow.next_incoming_id, flow.incoming_window) = (Some(1), 0);
        windows.on_flow(&flow);
        assert!(!windows.is_open(), "an overdrawn window is closed");
    }

    #[test]
    fn the_peer_hears_of_the_incoming_window_in_time() {
        let mut windows = windows(2);
        let due = (0..INCOMING_WINDOW).position(|_| windows.on_transfer());
        assert_eq!(due, Some(INCOMING_WINDOW as usize / 2 - 1));
        let flow = windows.flow(None);
        assert_eq!(flow.next_incoming_id, Some(7 + INCOMING_WINDOW / 2));
        assert!(!windows.on_transfer());
    }
}
