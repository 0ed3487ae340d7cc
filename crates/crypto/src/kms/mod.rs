//! What the key service keeps and hands out: ciphertext blobs, key material at rest, shred keys.
//!
//! ```text
//!  root key version --+
//!                     +--> wrapped material --> SymmetricMaterial --one key a blob--> ciphertext blob
//!  shred key ---------+
//!     (in a file of its own, itself under the root key)
//! ```

mod blob;
mod material;
mod shred;

pub use blob::{BLOB_OVERHEAD_BYTES, CiphertextBlob, seal_blob};
pub use material::{
    MATERIAL_MAX_BYTES, MaterialIdentity, material_id, wrapped_material_root_version,
};
pub use shred::{SHRED_FILE_LEN_BYTES, ShredId, shred_file_names, shred_file_root_version};
