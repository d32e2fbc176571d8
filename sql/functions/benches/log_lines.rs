//! The users' log lines, seeded, and the users' transformation in SQL. Shared by tests and benches.

use std::fmt::Write;

/// A small generator of numbers that are random enough (xorshift64*); the same seed gives the same lines.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub(crate) fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// A sound line, about 500 bytes long.
pub(crate) fn line(random: &mut Random, number: usize) -> String {
    let mut r = |limit| random.below(limit);
    let (second, micros) = (number / 1000, r(1_000_000));
    let mut line = format!(
        "2023-12-{:02}T{:02}:{:02}:{:02}.{micros:06}",
        1 + second / 86_400 % 28,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60
    );
    let level = ["INFO", "WARN", "ERROR", "DEBUG"][r(4)];
    let action = ["login", "logout", "view_page", "click_button", "submit_form", "unusual_action"][r(6)];
    let agent = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X)",
    ][r(3)];
    let referrer = ["https://www.google.com", "https://www.bing.com", "Direct Entry"][r(3)];
    let status = [
        "500 Internal Server Error | Detail: Server encountered an unexpected condition.",
        "404 Not Found | Detail: The requested resource was not found.",
        "200 OK | Detail: Request succeeded.",
        "204 No Content | Detail: The server successfully processed the request.",
    ][r(4)];
    let _ = write!(
        line,
        " | {level} | req_{} | session_{} | user_{} | {action} | {} | {} | Referrer: {referrer} | IP: {}.{}.{}.{} | Agent: {agent} | \
         Response Time: 0.{}s | Product ID: prod_{} | Cart Size: {} | Checkout Status: {} | Token: token_{} | Auth Method: {} | \
         Auth Level: {} | Correlation ID: corr_{} | Server IP: {}.{}.{}.{} | Port: {} | Protocol: {} | {status}",
        10_000 + r(89_999),
        1000 + r(8999),
        1 + r(1000),
        ["POST", "GET", "PUT"][r(3)],
        ["/home", "/about", "/contact", "/products", "/login"][r(5)],
        r(256),
        r(256),
        r(256),
        r(256),
        r(100),
        100 + r(900),
        r(1000),
        ["pending", "completed", "failed"][r(3)],
        10_000 + r(89_999),
        ["OAuth", "JWT", "Basic"][r(3)],
        ["user", "admin"][r(2)],
        10_000 + r(89_999),
        r(256),
        r(256),
        r(256),
        r(256),
        1024 + r(64_000),
        ["HTTP", "HTTPS"][r(2)],
    );
    line
}

/// A sound line damaged in one of many ways; `None` is a message without a body.
pub(crate) fn damaged_line(random: &mut Random, number: usize) -> Option<String> {
    let line = line(random, number);
    let at_character =
        |line: &str, at: usize| line.char_indices().map(|(i, _)| i).take_while(|i| *i <= at).last().unwrap_or(0);
    Some(match random.below(16) {
        0 => return None,
        1 => String::new(),
        2 => line[..at_character(&line, random.below(line.len()))].to_string(),
        3 => line.replacen(" | ", "|", 1 + random.below(5)),
        4 => line.replace(" | ", random.of(&[" |  | ", " | | ", " || ", "| ", "\t|\t"])),
        5 => line.replace(": ", random.of(&[":", ":\t", ": : ", ":\u{a0}", ":\r\n", ": //", "："])),
        6 => line.replacen(
            random.of(&["Referrer", "IP", "Token", "Port", "Detail"]),
            random.of(&["", "Ünï", "\u{1f98e}", "X:"]),
            1,
        ),
        7 => {
            let at = at_character(&line, random.below(line.len()));
            let what =
                random.of(&["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\0", "é", "\u{1f98e}", " | ", "//", "\n\n"]);
            format!("{}{what}{}", &line[..at], &line[at..])
        }
        8 => format!("{line}{}", random.of(&["\n", "\r\n", "\n\n", " | ", " | extra | more", "\u{2029}"])),
        9 => {
            let (time, rest) = line.split_at(26);
            let cut = random.of(&["", ".5", ".1234567", ".", "Z", "+01:00", ".123"]);
            format!("{}{cut}{rest}", &time[..19])
        }
        10 => line.replacen(
            "2023-12",
            random.of(&["2023-13", "2023-02-30", "02023-12", "23-12", "+12023-12", "2023-1", "２０２３-12"]),
            1,
        ),
        11 => line.replace(
            "https://",
            random.of(&["//", "https:///", "http://a/", "https:", "////", "https://\n", "https://é"]),
        ),
        12 => format!(" | {line}"),
        13 => random.of(&[" | ", "|", "a", "{\"json\": true}", "   ", " | | | | ", "\n"]).to_string(),
        14 => format!("{line} | {line}"),
        _ => line.replace('T', "t"),
    })
}

/// The users' transformation, for a table `raw_logs (body STRING)`: 25 columns, the partition column `date` last.
pub(crate) const TRANSFORMATION: &str = r"
SELECT date_format(ts, 'HH:mm:ss.SSS') AS time, log_level, request_id, session_id, user_id, action, http_method, url,
       regexp_extract(referrer_url, '(?<=//)(.*?)(?=/|$)', 1) AS referrer_domain,
       regexp_extract(ip_address, '(?<=:\s)(.*)', 1) AS ip_address,
       regexp_extract(user_agent, '(?<=:\s)(.*)', 1) AS user_agent,
       regexp_extract(response_time, '(?<=:\s)(.*)', 1) AS response_time,
       regexp_extract(product_id, '(?<=:\s)(.*)', 1) AS product_id,
       regexp_extract(cart_size, '(?<=:\s)(.*)', 1) AS cart_size,
       regexp_extract(checkout_status, '(?<=:\s)(.*)', 1) AS checkout_status,
       regexp_extract(token, '(?<=:\s)(.*)', 1) AS token,
       regexp_extract(auth_method, '(?<=:\s)(.*)', 1) AS auth_method,
       regexp_extract(auth_level, '(?<=:\s)(.*)', 1) AS auth_level,
       regexp_extract(correlation_id, '(?<=:\s)(.*)', 1) AS correlation_id,
       regexp_extract(server_ip, '(?<=:\s)(.*)', 1) AS server_ip,
       regexp_extract(port_number, '(?<=:\s)(.*)', 1) AS port_number,
       regexp_extract(protocol, '(?<=:\s)(.*)', 1) AS protocol,
       status,
       regexp_extract(detail, '(?<=:\s)(.*)', 1) AS detail,
       date_format(ts, 'yyyy-MM-dd') AS date
FROM (SELECT to_timestamp(f[0], 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS') AS ts, f[1] AS log_level, f[2] AS request_id, f[3] AS session_id,
             f[4] AS user_id, f[5] AS action, f[6] AS http_method, f[7] AS url, f[8] AS referrer_url, f[9] AS ip_address,
             f[10] AS user_agent, f[11] AS response_time, f[12] AS product_id, f[13] AS cart_size, f[14] AS checkout_status,
             f[15] AS token, f[16] AS auth_method, f[17] AS auth_level, f[18] AS correlation_id, f[19] AS server_ip,
             f[20] AS port_number, f[21] AS protocol, f[22] AS status, f[23] AS detail
      FROM (SELECT split(body, ' \| ') AS f FROM raw_logs) AS s) AS parsed";
