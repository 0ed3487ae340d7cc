//! Who asks a service: an access key, as AWS's tools find one.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::files;
use crate::unseal::Environment;

/// An access key of the service.
pub(crate) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// Of the named file, or else of the environment, or else of the file that AWS's tools read.
    pub(crate) fn find(named: Option<&Path>, environment: Environment<'_>) -> Result<Self, String> {
        let profile = environment("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        if let Some(path) = named {
            return Self::read(path, &profile);
        }
        let (id, secret) = (
            environment("AWS_ACCESS_KEY_ID"),
            environment("AWS_SECRET_ACCESS_KEY"),
        );
        if let (Some(id), Some(secret)) = (id, secret) {
            return Ok(Self {
                id,
                secret: Zeroizing::new(secret),
                token: environment("AWS_SESSION_TOKEN").map(Zeroizing::new),
            });
        }
        let shared = environment("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = || environment("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        match shared.or_else(home).filter(|path| path.is_file()) {
            Some(path) => Self::read(&path, &profile),
            None => Err(
                "there are no credentials for the key service; name a file with --kms-seal-credentials FILE"
                    .to_owned(),
            ),
        }
    }

    fn read(path: &Path, profile: &str) -> Result<Self, String> {
        let shown = path.display();
        let bytes = files::read(path).map_err(|error| format!("{shown}: {error}"))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text"))?;
        let (mut id, mut secret, mut token) = (None, None, None);
        let mut is_ours = false;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                is_ours = name.trim() == profile;
            } else if let Some((name, value)) = line.split_once('=').filter(|_| is_ours) {
                let value = value.trim();
                match name.trim() {
                    "aws_access_key_id" => id = Some(value.to_owned()),
                    "aws_secret_access_key" => secret = Some(Zeroizing::new(value.to_owned())),
                    "aws_session_token" => token = Some(Zeroizing::new(value.to_owned())),
                    _ => {}
                }
            }
        }
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Self { id, secret, token }),
            _ => Err(format!("{shown} has no access key for profile {profile}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_by_profile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        std::fs::write(
            &path,
            "[other]\naws_access_key_id = X\naws_secret_access_key = Y\n\n[default]\naws_access_key_id=A\naws_secret_access_key = b=c\n",
        )
        .unwrap();
        let found = Credentials::find(Some(&path), &|_| None).unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str()), ("A", "b=c"));
        assert!(found.token.is_none());
        let other = |name: &str| (name == "AWS_PROFILE").then(|| "other".to_owned());
        assert_eq!(Credentials::find(Some(&path), &other).unwrap().id, "X");
        assert!(Credentials::find(None, &|_| None).is_err());
        let environment = |name: &str| Some(format!("of {name}"));
        assert_eq!(
            Credentials::find(None, &environment).unwrap().id,
            "of AWS_ACCESS_KEY_ID"
        );
    }
}
