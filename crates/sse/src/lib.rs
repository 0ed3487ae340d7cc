//! strongroom-sse
