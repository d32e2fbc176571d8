//! The event: one log line of 24 fields, as the users' own generator writes it.

use crate::damage::{DELIMITER, Damage, Oddity};
use crate::draw::Draws;
use std::io::Write;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LineKind {
    /// As it should be.
    Sound,
    /// Accepted by a typed table, but with a NULL or '' in the users' transformation.
    Odd(Oddity),
    /// Refused by a typed table.
    Damaged(Damage),
}

/// 2023-12-22T22:07:37.780123: the time of the users' sample. With steps of whole milliseconds no fraction is ever 0,
/// so that no sound line lacks it.
pub const SAMPLE_START_MICROS: i64 = 1_703_282_857_780_123;

/// Makes lines from row numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// Another seed, other lines.
    pub seed: u64,
    /// Share of lines that are damaged, from 0 to 1.
    pub damaged: f64,
    /// Share of lines that are odd, from 0 to 1.
    pub odd: f64,
    /// Event time of row 0, in microseconds since 1970 UTC.
    pub start_micros: i64,
    /// From one row's event time to the next one's, in microseconds.
    pub step_micros: i64,
}

impl Default for Generator {
    fn default() -> Self {
        Self { seed: 0, damaged: 0.0, odd: 0.0, start_micros: SAMPLE_START_MICROS, step_micros: 1_000 }
    }
}

impl Generator {
    /// The event time of a row, in microseconds since 1970 UTC.
    pub fn time_of(&self, row: u64) -> i64 {
        let steps = i64::try_from(row).unwrap_or(i64::MAX);
        self.start_micros.saturating_add(steps.saturating_mul(self.step_micros))
    }

    /// Appends the line of a row, without a line end.
    pub fn line(&self, row: u64, line: &mut Vec<u8>) -> LineKind {
        self.line_at(row, self.time_of(row), line)
    }

    /// Appends the line of a row as if its event had happened at another time.
    pub fn line_at(&self, row: u64, micros: i64, line: &mut Vec<u8>) -> LineKind {
        let mut draws = Draws::of_row(self.seed, row);
        let start = line.len();
        let kind = self.kind(&mut draws);
        Event::draw(&mut draws).write(micros, line);
        match kind {
            LineKind::Sound => {}
            LineKind::Odd(oddity) => oddity.apply(&mut draws, line, start),
            LineKind::Damaged(damage) => damage.apply(&mut draws, line, start),
        }
        kind
    }

    /// What the line of a row is, without making it.
    pub fn kind_of(&self, row: u64) -> LineKind {
        self.kind(&mut Draws::of_row(self.seed, row))
    }

    fn kind(&self, draws: &mut Draws) -> LineKind {
        // The same number of draws whatever the shares, so that they change no other line.
        let chance = draws.unit();
        let damage = draws.one_of(&Damage::ALL);
        let oddity = draws.one_of(&Oddity::ALL);
        if chance < self.damaged {
            LineKind::Damaged(damage)
        } else if chance < self.damaged + self.odd {
            LineKind::Odd(oddity)
        } else {
            LineKind::Sound
        }
    }
}

const ACTIONS: [&str; 5] = ["login", "logout", "view_page", "click_button", "submit_form"];
const URLS: [&str; 5] = ["/home", "/about", "/contact", "/products", "/login"];
const REFERRERS: [&str; 3] = ["https://www.google.com", "https://www.bing.com", "Direct Entry"];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0",
];
const CHECKOUTS: [&str; 4] = ["Completed", "Pending", "Abandoned", "Failed"];
const AUTH_METHODS: [&str; 4] = ["OAuth", "Password", "API Key", "SSO"];
const AUTH_LEVELS: [&str; 3] = ["User", "Admin", "Guest"];
const PORTS: [u16; 4] = [80, 443, 8080, 8443];
const PROTOCOLS: [&str; 3] = ["HTTP/1.1", "HTTP/2", "HTTPS"];
const ERRORS: [Status; 4] = [
    Status { status: "500 Internal Server Error", detail: "Unexpected error on the server.", level: "ERROR" },
    Status { status: "404 Not Found", detail: "The page does not exist.", level: "WARN" },
    Status { status: "403 Forbidden", detail: "Access denied.", level: "WARN" },
    Status { status: "401 Unauthorized", detail: "Authentication required.", level: "ERROR" },
];
const SUCCESSES: [Status; 3] = [
    Status { status: "200 OK", detail: "Request succeeded.", level: "INFO" },
    Status { status: "201 Created", detail: "Resource created.", level: "INFO" },
    Status { status: "204 No Content", detail: "Nothing to return.", level: "INFO" },
];

/// An answer of the server, and what the log makes of it.
#[derive(Debug, Clone, Copy)]
struct Status {
    status: &'static str,
    detail: &'static str,
    level: &'static str,
}

/// An address of four numbers.
#[derive(Debug, Clone, Copy)]
struct Address([u64; 4]);

impl Address {
    fn draw(draws: &mut Draws) -> Self {
        Self(std::array::from_fn(|_| draws.between(1, 254)))
    }
}

/// The values of a line.
#[derive(Debug, Clone)]
struct Event {
    status: Status,
    request: u64,
    session: u64,
    user: u64,
    action: &'static str,
    url: &'static str,
    referrer: &'static str,
    address: Address,
    agent: &'static str,
    response_seconds: f64,
    product: u64,
    cart: u64,
    checkout: &'static str,
    token: u64,
    auth_method: &'static str,
    auth_level: &'static str,
    correlation: u64,
    server: Address,
    port: u16,
    protocol: &'static str,
}

impl Event {
    fn draw(draws: &mut Draws) -> Self {
        let anomaly = draws.happens(0.2);
        let status = if draws.happens(0.3) { draws.one_of(&ERRORS) } else { draws.one_of(&SUCCESSES) };
        let usual_action = draws.one_of(&ACTIONS);
        // Database, server and network, each of whole hundredths: their sum has the noise of binary fractions.
        let parts: [f64; 3] = std::array::from_fn(|_| draws.between(1, 50) as f64 / 100.0);
        let spike = 5.0 + 5.0 * draws.unit();
        Self {
            status,
            request: draws.between(10_000, 99_999),
            session: draws.between(1_000, 9_999),
            user: draws.between(1, 1_000),
            action: if anomaly { "unusual_action" } else { usual_action },
            url: draws.one_of(&URLS),
            referrer: draws.one_of(&REFERRERS),
            address: Address::draw(draws),
            agent: draws.one_of(&AGENTS),
            response_seconds: if anomaly { spike } else { parts[0] + parts[1] + parts[2] },
            product: draws.between(1, 100),
            cart: if anomaly { draws.between(100, 1_000) } else { draws.between(1, 10) },
            checkout: draws.one_of(&CHECKOUTS),
            token: draws.between(1_000, 9_999),
            auth_method: draws.one_of(&AUTH_METHODS),
            auth_level: draws.one_of(&AUTH_LEVELS),
            correlation: draws.between(10_000, 99_999),
            server: Address::draw(draws),
            port: draws.one_of(&PORTS),
            protocol: draws.one_of(&PROTOCOLS),
        }
    }

    fn method(&self) -> &'static str {
        match self.action {
            "login" | "submit_form" => "POST",
            "click_button" => "PUT",
            _ => "GET",
        }
    }

    fn write(&self, micros: i64, line: &mut Vec<u8>) {
        write_time(micros, line);
        let mut field = |label: &str, prefix: &str, value: Value<'_>| {
            line.extend_from_slice(DELIMITER);
            line.extend_from_slice(label.as_bytes());
            line.extend_from_slice(prefix.as_bytes());
            value.write(line);
        };
        field("", "", Value::Text(self.status.level));
        field("", "req_", Value::Number(self.request));
        field("", "session_", Value::Number(self.session));
        field("", "user_", Value::Number(self.user));
        field("", "", Value::Text(self.action));
        field("", "", Value::Text(self.method()));
        field("", "", Value::Text(self.url));
        field("Referrer: ", "", Value::Text(self.referrer));
        field("IP: ", "", Value::Address(self.address));
        field("Agent: ", "", Value::Text(self.agent));
        field("Response Time: ", "", Value::Seconds(self.response_seconds));
        field("Product ID: ", "prod_", Value::Number(self.product));
        field("Cart Size: ", "", Value::Number(self.cart));
        field("Checkout Status: ", "", Value::Text(self.checkout));
        field("Token: ", "token_", Value::Number(self.token));
        field("Auth Method: ", "", Value::Text(self.auth_method));
        field("Auth Level: ", "", Value::Text(self.auth_level));
        field("Correlation ID: ", "corr_", Value::Number(self.correlation));
        field("Server IP: ", "", Value::Address(self.server));
        field("Port: ", "", Value::Number(u64::from(self.port)));
        field("Protocol: ", "", Value::Text(self.protocol));
        field("", "", Value::Text(self.status.status));
        field("Detail: ", "", Value::Text(self.status.detail));
    }
}

/// A value, and how it is printed.
enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Address(Address),
    /// As Python prints a float: the shortest text that reads as the same number, always with a point.
    Seconds(f64),
}

impl Value<'_> {
    fn write(&self, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) => line.extend_from_slice(text.as_bytes()),
            Self::Number(number) => write_number(*number, line),
            Self::Address(Address(parts)) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        line.push(b'.');
                    }
                    write_number(*part, line);
                }
            }
            // Writing to a Vec can't fail.
            Self::Seconds(seconds) => drop(write!(line, "{seconds:?}s")),
        }
    }
}

fn write_number(mut number: u64, line: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// As Python's `datetime.isoformat()`: without the fraction when it is 0.
fn write_time(micros: i64, line: &mut Vec<u8>) {
    let seconds = micros.div_euclid(1_000_000);
    let fraction = micros.rem_euclid(1_000_000) as u64;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400) as u64;
    write_padded(year, 4, line);
    line.push(b'-');
    write_padded(month, 2, line);
    line.push(b'-');
    write_padded(day, 2, line);
    line.push(b'T');
    write_padded(of_day / 3_600, 2, line);
    line.push(b':');
    write_padded(of_day / 60 % 60, 2, line);
    line.push(b':');
    write_padded(of_day % 60, 2, line);
    if fraction > 0 {
        line.push(b'.');
        write_padded(fraction, 6, line);
    }
}

fn write_padded(number: u64, width: u32, line: &mut Vec<u8>) {
    for place in (0..width).rev() {
        line.push(b'0' + (number / 10_u64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day since 1970-01-01, by eras of 400 years that begin with March.
fn civil(days: i64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year.max(0) as u64, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_pythons() {
        for (micros, text) in [
            (SAMPLE_START_MICROS, "2023-12-22T22:07:37.780123"),
            (1_703_282_857_000_000, "2023-12-22T22:07:37"),
            (0, "1970-01-01T00:00:00"),
            (1_709_164_800_000_001, "2024-02-29T00:00:00.000001"),
        ] {
            let mut line = Vec::new();
            write_time(micros, &mut line);
            assert_eq!(String::from_utf8(line).unwrap(), text);
        }
    }
}
