//! Prints what a page of a listing costs in a bucket of a million keys.
//!
//! `cargo run --release -p strongroom-s3 --example listing_cost`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example prints, and may stop"
)]

#[expect(dead_code, reason = "the fixture serves the tests too")]
#[path = "../tests/service/support/mod.rs"]
mod support;

use std::time::Instant;

use strongroom_policy::actions::ListBucket;
use strongroom_s3::{ListObjectsInput, Versioning};
use support::{Fixture, bucket, context};

fn main() {
    let f = Fixture::new(Versioning::Never);
    for folder in 0..1000 {
        for file in 0..1000 {
            f.put(&format!("{folder:03}/{file:03}"), b"");
        }
    }
    for (what, delimiter) in [("1,000 keys", None), ("1,000 common prefixes", Some("/"))] {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let entry = f
                .service
                .enter_bucket::<ListBucket>(context(), &bucket(), None)
                .unwrap();
            let input = ListObjectsInput {
                delimiter: delimiter.map(str::to_owned),
                max_keys: 1000,
                ..ListObjectsInput::default()
            };
            let start = Instant::now();
            let page = f.service.list_objects(entry, input).unwrap();
            best = best.min(start.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(page.objects.len() + page.common_prefixes.len(), 1000);
        }
        println!("{what} of a million: {best:.3} ms");
    }
}
