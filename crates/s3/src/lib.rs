//! strongroom-s3
