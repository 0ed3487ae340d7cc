//! Wall-clock time in milliseconds, and the three text forms that S3 uses.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Takes milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Takes seconds since the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch. HTTP dates, and so conditional requests, know no more.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// `2026-11-21T02:36:00.000Z`, the form of S3's XML.
    pub fn to_iso8601(self) -> String {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        self.to_datetime().format(format).unwrap_or_default()
    }

    /// `Sat, 21 Nov 2026 02:36:00 GMT`, the form of HTTP headers (RFC 9110, 5.6.7).
    pub fn to_http_date(self) -> String {
        let format = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        self.to_datetime().format(format).unwrap_or_default()
    }

    /// `20261121T023600Z`, the form of `x-amz-date`.
    pub fn to_amz_date(self) -> String {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        self.to_datetime().format(format).unwrap_or_default()
    }

    /// Parses `20261121T023600Z`.
    ///
    /// # Errors
    ///
    /// [`TimestampError`] for any other form.
    pub fn parse_amz_date(text: &str) -> Result<Self, TimestampError> {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        PrimitiveDateTime::parse(text, format)
            .map_err(|_| TimestampError)
            .and_then(|t| t.assume_utc().try_into())
    }

    /// Parses an HTTP date in its preferred, RFC 850 or asctime form (RFC 9110, 5.6.7), or as
    /// [`Timestamp::parse_iso8601`] does.
    ///
    /// The year of an RFC 850 date has two digits. It is of the century in which the date falls on
    /// the weekday that it names: 1994 or 2094, never both. RFC 9110 goes by the current time
    /// instead; the two differ only for dates that are 50 years away or more.
    ///
    /// # Errors
    ///
    /// [`TimestampError`] for any other form.
    pub fn parse_http_date(text: &str) -> Result<Self, TimestampError> {
        let preferred = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let asctime = format_description!(
            "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"
        );
        PrimitiveDateTime::parse(text, preferred)
            .or_else(|_| PrimitiveDateTime::parse(text, asctime))
            .map_err(|_| TimestampError)
            .or_else(|_| parse_rfc850(text))
            .and_then(|t| t.assume_utc().try_into())
            .or_else(|_| Self::parse_iso8601(text))
    }

    /// Parses `2026-11-21T02:36:00Z` with any fraction or offset (RFC 3339).
    ///
    /// # Errors
    ///
    /// [`TimestampError`] for any other form.
    pub fn parse_iso8601(text: &str) -> Result<Self, TimestampError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| TimestampError)
            .and_then(TryInto::try_into)
    }

    fn to_datetime(self) -> OffsetDateTime {
        let nanos = i128::from(self.0).saturating_mul(1_000_000);
        // Above the year 9999 the text forms end; such a time is only ever the result of a damaged row.
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn parse_rfc850(text: &str) -> Result<PrimitiveDateTime, TimestampError> {
    let format = format_description!(
        "[weekday repr:long], [day]-[month repr:short]-[year] [hour]:[minute]:[second] GMT"
    );
    let mut parts = text.splitn(3, '-');
    let (Some(day), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(TimestampError);
    };
    // Four digits here would become six.
    if !matches!(rest.as_bytes(), [b'0'..=b'9', b'0'..=b'9', b' ', ..]) {
        return Err(TimestampError);
    }
    [19, 20]
        .iter()
        .filter_map(|century| {
            PrimitiveDateTime::parse(&format!("{day}-{month}-{century}{rest}"), format).ok()
        })
        .find(|time| text.starts_with(&time.weekday().to_string()))
        .ok_or(TimestampError)
}

/// `9999-12-31T23:59:59.999Z`, the end of the text forms, in milliseconds.
const LAST_MILLIS: u64 = 253_402_300_799_999;

impl TryFrom<OffsetDateTime> for Timestamp {
    type Error = TimestampError;

    fn try_from(time: OffsetDateTime) -> Result<Self, TimestampError> {
        // An offset may carry a time beyond the last one that has a text form.
        u64::try_from(time.unix_timestamp_nanos() / 1_000_000)
            .ok()
            .filter(|millis| *millis <= LAST_MILLIS)
            .map(Self)
            .ok_or(TimestampError)
    }
}

/// The text is not a date of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid date")]
pub struct TimestampError;

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_millis(1_369_353_600_123);

    #[test]
    fn prints_the_forms_of_s3() {
        assert_eq!(T.to_iso8601(), "2013-05-24T00:00:00.123Z");
        assert_eq!(T.to_http_date(), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(T.to_amz_date(), "20130524T000000Z");
    }

    #[test]
    fn parses_what_it_prints() {
        let whole = Timestamp::from_seconds(T.as_seconds());
        assert_eq!(Timestamp::parse_amz_date("20130524T000000Z"), Ok(whole));
        assert_eq!(
            Timestamp::parse_http_date("Fri, 24 May 2013 00:00:00 GMT"),
            Ok(whole)
        );
        assert_eq!(
            Timestamp::parse_http_date("Fri May 24 00:00:00 2013"),
            Ok(whole)
        );
        assert_eq!(Timestamp::parse_iso8601("2013-05-24T00:00:00.123Z"), Ok(T));
    }

    #[test]
    fn all_three_forms_of_http_dates_are_parsed() {
        // The examples of RFC 9110, 5.6.7.
        let example = Ok(Timestamp::from_seconds(784_111_777));
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(Timestamp::parse_http_date(text), example, "{text}");
        }
    }

    #[test]
    fn the_weekday_of_an_rfc_850_date_tells_its_century() {
        for (rfc850, iso8601) in [
            ("Thursday, 01-Jan-70 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            ("Wednesday, 01-Jan-70 00:00:00 GMT", "2070-01-01T00:00:00Z"),
            ("Friday, 31-Dec-99 23:59:59 GMT", "1999-12-31T23:59:59Z"),
            ("Tuesday, 29-Feb-00 12:00:00 GMT", "2000-02-29T12:00:00Z"),
            ("Saturday, 21-Nov-26 02:36:00 GMT", "2026-11-21T02:36:00Z"),
        ] {
            let expected = Timestamp::parse_iso8601(iso8601);
            assert!(expected.is_ok());
            assert_eq!(Timestamp::parse_http_date(rfc850), expected, "{rfc850}");
        }
        for bad in [
            "Monday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06-Nov-4 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37",
            "Sunday, 06-Nov-94 08:49:37 CET",
            "Sunday, 31-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 24:49:37 GMT",
            // Before the epoch: the sixties of the last century have no timestamp.
            "Sunday, 06-Nov-60 08:49:37 GMT",
            "-,-94 ",
            "--",
        ] {
            assert_eq!(
                Timestamp::parse_http_date(bad),
                Err(TimestampError),
                "{bad}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "20130524",
            "20131324T000000Z",
            "Fri, 32 May 2013 00:00:00 GMT",
            "1960-01-01T00:00:00Z",
        ] {
            assert!(
                Timestamp::parse_amz_date(bad).is_err() && Timestamp::parse_http_date(bad).is_err(),
                "{bad}"
            );
        }
    }

    /// Found by fuzzing: the parsed time printed as the epoch.
    #[test]
    fn an_offset_does_not_lead_beyond_the_year_9999() {
        let last = Timestamp::parse_iso8601("9999-12-31T23:59:59.999Z");
        assert_eq!(last, Ok(Timestamp(LAST_MILLIS)));
        assert!(last.is_ok_and(|it| it.to_iso8601() == "9999-12-31T23:59:59.999Z"));
        for beyond in ["9999-12-31T23:59:59.999-23:59", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(
                Timestamp::parse_iso8601(beyond),
                Err(TimestampError),
                "{beyond}"
            );
        }
    }
}
