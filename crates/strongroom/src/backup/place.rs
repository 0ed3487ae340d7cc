//! Where backups lie, as people name it.

use std::path::PathBuf;
use std::str::FromStr;

use strongroom_backup::{Directory, Place};

use super::bucket::Bucket;
use crate::cli::backup::PlaceArgs;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::key_file;
use crate::unseal::Environment;

/// `DIR` or `s3://BUCKET/PREFIX`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PlaceName {
    Directory(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl FromStr for PlaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            if text.is_empty() || text.contains("://") {
                return Err("a directory or s3://BUCKET/PREFIX is expected".to_owned());
            }
            return Ok(Self::Directory(text.into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str| {
            text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/')
            })
        };
        if bucket.is_empty() || !is_plain(bucket) || !is_plain(prefix) {
            return Err(
                "s3://BUCKET/PREFIX is expected, of letters, digits, hyphens, dots and underscores"
                    .to_owned(),
            );
        }
        Ok(Self::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

impl PlaceName {
    /// Refuses a place within the data directory.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`].
    pub(super) fn check_apart(&self, settings: &Settings) -> Result<(), Failure> {
        match self {
            Self::Directory(path) if key_file::lies_in(path, settings.data.root()) => {
                Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{} lies in the data directory, and would be lost with it",
                        path.display()
                    ),
                    "choose another disk, or better another machine",
                ))
            }
            Self::Directory(_) | Self::Bucket { .. } => Ok(()),
        }
    }

    /// To read.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] when there is no such directory, and for an endpoint that cannot be used.
    pub(super) fn open(
        &self,
        args: &PlaceArgs,
        environment: Environment<'_>,
    ) -> Result<Box<dyn Place>, Failure> {
        match self {
            Self::Directory(path) if !path.is_dir() => Err(Failure::new(
                Exit::Usage,
                format!("there is no directory {}", path.display()),
                "name the one that strongroom backup --to wrote",
            )),
            Self::Directory(path) => Ok(Box::new(Directory::open(path))),
            Self::Bucket { bucket, prefix } => Ok(Box::new(Bucket::new(
                bucket,
                prefix,
                args,
                None,
                environment,
            )?)),
        }
    }

    /// To write; a directory is made if need be. A bucket of `own`, the very server that is backed
    /// up, is refused.
    ///
    /// # Errors
    ///
    /// As [`PlaceName::open`]; [`Exit::Environment`] for the directory.
    pub(super) fn open_to_write(
        &self,
        args: &PlaceArgs,
        own: Option<&Settings>,
        environment: Environment<'_>,
    ) -> Result<Box<dyn Place>, Failure> {
        match self {
            Self::Directory(path) => match Directory::create(path) {
                Ok(directory) => Ok(Box::new(directory)),
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    Err(Failure::new(
                        Exit::General,
                        format!("another backup is being taken into {}", path.display()),
                        "wait for its end",
                    ))
                }
                Err(error) => Err(Failure::new(
                    Exit::Environment,
                    format!("{}: {error}", path.display()),
                    "check its permissions",
                )),
            },
            Self::Bucket { bucket, prefix } => Ok(Box::new(Bucket::new(
                bucket,
                prefix,
                args,
                own,
                environment,
            )?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_directories_and_buckets() {
        let parse = |text: &str| text.parse::<PlaceName>();
        let bucket = |bucket: &str, prefix: &str| {
            Ok(PlaceName::Bucket {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            })
        };
        assert_eq!(parse("/mnt/x"), Ok(PlaceName::Directory("/mnt/x".into())));
        assert_eq!(parse("s3://b"), bucket("b", ""));
        assert_eq!(parse("s3://b/a/b/"), bucket("b", "a/b"));
        for wrong in ["", "s3://", "s3:///x", "http://b/x", "s3://b/a b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
