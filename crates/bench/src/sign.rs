//! SigV4 for the load generator: one fixed set of headers, as cheap as it gets.

use aws_lc_rs::{digest, hmac};

/// Who signs.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) region: String,
}

/// How the payload is covered by the signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// The body's SHA-256.
    Signed,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER` with a CRC-64/NVME trailer.
    Trailer,
}

impl Payload {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::Trailer => "trailer",
        }
    }
}

/// A signer with its signing key of the day for one service.
pub(crate) struct Signer {
    credentials: Credentials,
    service: &'static str,
    key: hmac::Key,
    date: String,
}

impl Signer {
    /// `amz_date` is `YYYYMMDDTHHMMSSZ`.
    pub(crate) fn new(credentials: Credentials, service: &'static str, amz_date: &str) -> Self {
        let day: String = amz_date.chars().take(8).collect();
        let mut key = hmac::Key::new(
            hmac::HMAC_SHA256,
            format!("AWS4{}", credentials.secret).as_bytes(),
        );
        for word in [day.as_str(), &credentials.region, service, "aws4_request"] {
            key = hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&key, word.as_bytes()).as_ref(),
            );
        }
        Self {
            credentials,
            service,
            key,
            date: amz_date.to_owned(),
        }
    }

    /// The headers of a signed request. `extra` headers are signed as well, and are in the result.
    pub(crate) fn headers(
        &self,
        method: &str,
        host: &str,
        path: &str,
        query: &str,
        content: &str,
        extra: &[(&str, &str)],
    ) -> String {
        let day = self.date.get(..8).unwrap_or_default();
        let mut headers = vec![
            ("host", host),
            ("x-amz-content-sha256", content),
            ("x-amz-date", &self.date),
        ];
        headers.extend_from_slice(extra);
        headers.sort_unstable();
        let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let signed = signed.join(";");
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for (name, value) in &headers {
            canonical.extend([*name, ":", *value, "\n"]);
        }
        canonical.extend(["\n", &signed, "\n", content]);
        let scope = format!(
            "{day}/{}/{}/aws4_request",
            self.credentials.region, self.service
        );
        let hash = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", self.date);
        let signature = hex::encode(hmac::sign(&self.key, to_sign.as_bytes()));
        let mut text = String::with_capacity(512);
        for (name, value) in &headers {
            text.extend([*name, ": ", *value, "\r\n"]);
        }
        text.push_str("authorization: AWS4-HMAC-SHA256 Credential=");
        text.extend([&*self.credentials.access_key_id, "/", &*scope]);
        text.extend([
            ", SignedHeaders=",
            &*signed,
            ", Signature=",
            &*signature,
            "\r\n",
        ]);
        text
    }
}

/// Hexadecimal SHA-256 of `body`.
pub(crate) fn sha256_hex(body: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, body))
}

/// `YYYYMMDDTHHMMSSZ` of now.
pub(crate) fn amz_date() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since the epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}
