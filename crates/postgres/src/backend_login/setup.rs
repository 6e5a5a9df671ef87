//! What a new pooled backend is asked before it serves: how many connections the database takes.

use crate::wire::read::data_row;

/// The question. `reserved_connections` exists since PostgreSQL 16.
pub(super) const LIMITS_QUERY: &[u8] = b"SELECT current_setting('max_connections'), \
    current_setting('superuser_reserved_connections'), \
    coalesce(current_setting('reserved_connections', true), '0')";

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections that ordinary users may open; at least 1, since we have one.
    pub(super) connections_usable: u32,
    /// `max_connections`.
    pub(super) connections_max: u32,
}

impl Limits {
    /// Not asked for.
    pub(super) const UNKNOWN: Limits = Limits {
        connections_usable: 0,
        connections_max: 0,
    };

    /// Reads the row that answers.
    pub(super) fn read(body: &[u8]) -> Result<Limits, &'static str> {
        const WRONG: &str = "the database reports connection limits that are no numbers";
        let columns = data_row(body).map_err(|error| error.as_str())?;
        let number =
            |column: &Option<&[u8]>| std::str::from_utf8((*column)?).ok()?.parse::<u32>().ok();
        let numbers: Option<Vec<u32>> = columns.iter().map(number).collect();
        let [max, superuser_reserved, reserved] = *numbers.ok_or(WRONG)? else {
            return Err(WRONG);
        };
        Ok(Limits {
            connections_usable: max
                .saturating_sub(superuser_reserved)
                .saturating_sub(reserved)
                .max(1),
            connections_max: max,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn row(columns: &[&str]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for column in columns {
            body.extend_from_slice(&u32::try_from(column.len()).unwrap().to_be_bytes());
            body.extend_from_slice(column.as_bytes());
        }
        body
    }

    #[test]
    fn reserved_connections_are_not_usable() {
        let cases = [
            (["100", "3", "0"], 97, 100),
            (["100", "3", "7"], 90, 100),
            (["2", "3", "0"], 1, 2),
        ];
        for (columns, usable, max) in cases {
            let limits = Limits::read(&row(&columns)).unwrap();
            assert_eq!(
                (limits.connections_usable, limits.connections_max),
                (usable, max)
            );
        }
    }

    #[test]
    fn anything_but_three_numbers_is_an_error() {
        for columns in [
            &["100", "3"][..],
            &["a", "3", "0"],
            &["-1", "3", "0"],
            &["1", "2", "3", "4"],
            &[],
        ] {
            assert!(Limits::read(&row(columns)).is_err(), "{columns:?}");
        }
        assert!(Limits::read(b"\0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(Limits::read(b"\0").is_err());
    }
}
