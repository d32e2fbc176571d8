//! The addresses that links are attached to.
//!
//! They come bare (`hub/Partitions/0`) or as URLs (`amqps://host/hub/Partitions/0`); words are matched without regard to case.

use std::fmt;

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `$cbs`: where tokens are put.
    Cbs,
    /// `$management`: where hubs and partitions are described.
    Management,
    /// `hub`: any partition of it.
    Hub(String),
    /// `hub/Partitions/N`.
    Partition {
        /// The hub.
        hub: String,
        /// The partition, as written.
        partition: String,
    },
    /// `hub/ConsumerGroups/group/Partitions/N`.
    Consumer {
        /// The hub.
        hub: String,
        /// The consumer group, in lower case.
        group: String,
        /// The partition, as written.
        partition: String,
    },
}

/// An address of no known form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address '{0}' names nothing here; expected $cbs, $management, HUB, HUB/Partitions/N or HUB/ConsumerGroups/GROUP/Partitions/N"
)]
pub struct AddressError(String);

/// The path of an address or audience: without scheme and host, without slashes at its ends, without a query.
pub fn path_of(address: &str) -> &str {
    let rest = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_host, path)| path),
        None => address,
    };
    rest.split(['?', '#']).next().unwrap_or_default().trim_matches('/')
}

impl Address {
    /// Reads an address.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        let parts: Vec<&str> = path_of(address).split('/').collect();
        let is = |at: usize, word: &str| parts.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let owned = |at: usize| parts.get(at).map(|part| (*part).to_owned()).unwrap_or_default();
        match parts.len() {
            1 if is(0, "$cbs") => Ok(Self::Cbs),
            1 | 2 if is(parts.len() - 1, "$management") => Ok(Self::Management),
            1 if !parts[0].is_empty() => Ok(Self::Hub(owned(0))),
            3 if is(1, "Partitions") => Ok(Self::Partition { hub: owned(0), partition: owned(2) }),
            5 if is(1, "ConsumerGroups") && is(3, "Partitions") => {
                Ok(Self::Consumer { hub: owned(0), group: owned(2).to_lowercase(), partition: owned(4) })
            }
            _ => Err(AddressError(address.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbs => f.write_str("$cbs"),
            Self::Management => f.write_str("$management"),
            Self::Hub(hub) => f.write_str(hub),
            Self::Partition { hub, partition } => write!(f, "{hub}/Partitions/{partition}"),
            Self::Consumer { hub, group, partition } => {
                write!(f, "{hub}/ConsumerGroups/{group}/Partitions/{partition}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_and_as_urls() {
        let hub = Address::Hub("logs".into());
        for address in [
            "logs",
            "/logs/",
            "amqps://ns.servicebus.windows.net/logs",
            "sb://localhost:5672/logs/",
            "amqp://localhost/logs?x=1",
        ] {
            assert_eq!(Address::parse(address).as_ref(), Ok(&hub), "{address}");
        }
        assert_eq!(Address::parse("$cbs"), Ok(Address::Cbs));
        assert_eq!(Address::parse("$management"), Ok(Address::Management));
        assert_eq!(Address::parse("amqps://h/logs/$management"), Ok(Address::Management));
        assert_eq!(
            Address::parse("logs/partitions/3"),
            Ok(Address::Partition { hub: "logs".into(), partition: "3".into() })
        );
        assert_eq!(
            Address::parse("amqps://h:5671/logs/consumergroups/$Default/PARTITIONS/0"),
            Ok(Address::Consumer { hub: "logs".into(), group: "$default".into(), partition: "0".into() })
        );
        for address in ["", "amqps://host", "logs/Partitions", "logs/Things/1", "logs/ConsumerGroups/g"] {
            assert!(Address::parse(address).is_err(), "{address}");
        }
    }
}
