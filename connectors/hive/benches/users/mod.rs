//! The users' rows: 25 STRING columns, the views of which point into the lines' shared payload.

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use salamander_types::{Entropy, SystemEntropy};
use std::sync::Arc;

/// The columns in the table's order: the partition column comes last.
pub const COLUMNS: [&str; 25] = [
    "time",
    "log_level",
    "request_id",
    "session_id",
    "user_id",
    "action",
    "http_method",
    "url",
    "referrer_domain",
    "ip_address",
    "user_agent",
    "response_time",
    "product_id",
    "cart_size",
    "checkout_status",
    "token",
    "auth_method",
    "auth_level",
    "correlation_id",
    "server_ip",
    "port_number",
    "protocol",
    "status",
    "detail",
    "date",
];

pub fn schema() -> SchemaRef {
    let fields: Vec<Field> = COLUMNS.iter().map(|name| Field::new(*name, DataType::Utf8View, true)).collect();
    Arc::new(Schema::new(fields))
}

const STATUSES: [(&str, &str, &str); 7] = [
    ("500 Internal Server Error", "Server encountered an unexpected condition.", "ERROR"),
    ("404 Not Found", "The requested resource was not found.", "WARN"),
    ("403 Forbidden", "Access to the resource is forbidden.", "WARN"),
    ("401 Unauthorized", "Authentication is required and has failed.", "ERROR"),
    ("200 OK", "Request succeeded.", "INFO"),
    ("201 Created", "The request succeeded, and a new resource was created.", "INFO"),
    ("204 No Content", "The server successfully processed the request.", "INFO"),
];
const ACTIONS: [(&str, &str); 5] =
    [("login", "POST"), ("logout", "GET"), ("view_page", "GET"), ("click_button", "PUT"), ("submit_form", "POST")];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X)",
];

/// A line being written, and where its values stand.
struct Line<'a> {
    payload: &'a mut Vec<u8>,
    places: [(usize, usize); 25],
    column: usize,
}

impl Line<'_> {
    fn value(&mut self, label: &str, value: &str, column: usize) {
        self.payload.extend_from_slice(label.as_bytes());
        let start = self.payload.len();
        self.payload.extend_from_slice(value.as_bytes());
        self.places[column] = (start, self.payload.len());
        self.column += 1;
        self.payload.extend_from_slice(b" | ");
    }
}

/// A batch of `rows` lines, the first of them `first` milliseconds after midnight.
pub fn batch(rows: usize, first: usize, seed: u64) -> RecordBatch {
    let entropy = SystemEntropy::seeded(seed);
    let between = |low: u64, high: u64| low + entropy.next_u64() % (high - low + 1);
    let of = |n: usize| (entropy.next_u64() % n as u64) as usize;
    let ip = || format!("{}.{}.{}.{}", between(1, 255), between(1, 255), between(1, 255), between(1, 255));
    let mut payload = Vec::with_capacity(rows * 520);
    let mut places = Vec::with_capacity(rows);
    for row in 0..rows {
        let ms = first + row;
        let status = STATUSES[if between(0, 9) < 3 { of(4) } else { 4 + of(3) }];
        let odd = between(0, 9) < 2;
        let (action, method) = ACTIONS[of(5)];
        let seconds = if odd {
            between(500, 1000) as f64 / 100.0
        } else {
            between(1, 50) as f64 / 100.0 + between(1, 50) as f64 / 100.0 + between(1, 50) as f64 / 100.0
        };
        let time = format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        let mut line = Line { payload: &mut payload, places: [(0, 0); 25], column: 0 };
        line.value("", "2026-11-24", 24);
        line.value("", &time, 0);
        line.value("", status.2, 1);
        line.value("", &format!("req_{}", between(10_000, 99_999)), 2);
        line.value("", &format!("session_{}", between(1000, 9999)), 3);
        line.value("", &format!("user_{}", between(1, 1000)), 4);
        line.value("", if odd { "unusual_action" } else { action }, 5);
        line.value("", method, 6);
        line.value("", ["/home", "/about", "/contact", "/products", "/login"][of(5)], 7);
        line.value("Referrer: https://", ["www.google.com", "www.bing.com", ""][of(3)], 8);
        line.value("IP: ", &ip(), 9);
        line.value("Agent: ", AGENTS[of(3)], 10);
        line.value("Response Time: ", &format!("{seconds}s"), 11);
        line.value("Product ID: ", &format!("prod_{}", between(100, 999)), 12);
        line.value("Cart Size: ", &if odd { between(100, 1000) } else { between(1, 10) }.to_string(), 13);
        line.value("Checkout Status: ", ["pending", "completed", "failed"][of(3)], 14);
        line.value("Token: ", &format!("token_{}", between(10_000, 99_999)), 15);
        line.value("Auth Method: ", ["OAuth", "JWT", "Basic"][of(3)], 16);
        line.value("Auth Level: ", ["user", "admin"][of(2)], 17);
        line.value("Correlation ID: ", &format!("corr_{}", between(10_000, 99_999)), 18);
        line.value("Server IP: ", &ip(), 19);
        line.value("Port: ", &between(1024, 65_535).to_string(), 20);
        line.value("Protocol: ", ["HTTP", "HTTPS"][of(2)], 21);
        line.value("", status.0, 22);
        line.value("Detail: ", status.1, 23);
        places.push(line.places);
    }
    let buffer = Buffer::from_vec(payload);
    let columns = (0..25)
        .map(|column| {
            let views: Vec<u128> = places.iter().map(|p| view(&buffer, p[column])).collect();
            let array = StringViewArray::try_new(ScalarBuffer::from(views), vec![buffer.clone()], None);
            Arc::new(array.expect("views of text")) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(schema(), columns).expect("columns of one length")
}

fn view(buffer: &[u8], (start, end): (usize, usize)) -> u128 {
    arrow::array::make_view(&buffer[start..end], 0, start as u32)
}
