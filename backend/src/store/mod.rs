//! Translations kept in files, so that the next run of a program need not make them again.
//!
//! There is one file for each image: a piece of guest address space that shows the same code in every run, such as a
//! mapped ELF file at its usual address. A translation is used again only where the guest's code words are the very
//! ones that it was made from; what an image is called only tells where to look. A file is known by everything else
//! that translations depend on: this build of the program, the host's features, the options, the guest's own digest.
//!
//! Nothing here is trusted: each record is checked against its hash before anything of it is used, and what does not
//! fit counts as not there.

mod build_id;
mod file;
mod map;
mod record;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use jib_ir::region::Key;
use xxhash_rust::xxh3::xxh3_128;

use crate::abi::HostFeatures;
use crate::options::{EngineKind, Options};
use file::File;
pub(crate) use record::Record;

/// Version of the files' layout.
const LAYOUT: u32 = 1;
/// New records are written when they make up this part of what is there.
const WORTH_WRITING: usize = 16;
/// What a file may hold; the rest is made anew in each run.
const MAX_FILE: usize = 64 << 20;

/// Guest code that is the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// What it shows: a digest of its contents or of what leads to them.
    pub identity: u128,
    /// Guest address of its first byte.
    pub start: u64,
}

/// Tells where guest code comes from.
pub trait Images: Send + Sync {
    /// The image at guest address `pc`.
    fn at(&self, pc: u64) -> Option<Image>;
}

/// Where translations are kept, given to [`Options`] of a translator.
pub struct Store {
    folder: OwnedFd,
    images: Box<dyn Images>,
    /// What the guest's translations depend on besides its code.
    guest: Vec<u8>,
    files: Mutex<HashMap<Image, Option<File>>>,
}

impl Store {
    /// A store in `folder` (which nobody else may write to) for code of `images`. `guest` says in any form what
    /// translations depend on that is not in the code or in its mode: the features of the guest's processor.
    pub fn new(folder: OwnedFd, images: Box<dyn Images>, guest: &[u8]) -> Store {
        Store { folder, images, guest: guest.to_vec(), files: Mutex::default() }
    }

    /// Can translations made under `options` be kept?
    pub(crate) fn serves(&self, options: &Options) -> bool {
        let tiers = options.quick != u32::MAX && !matches!(options.threshold, 0 | u32::MAX);
        options.engine == EngineKind::Jit && tiers && !options.count && build_id::get().is_some()
    }

    /// The image that `pc` lies in.
    pub(crate) fn image(&self, pc: u64) -> Option<Image> {
        self.images.at(pc)
    }

    /// The record number `nth` of those that are kept for `key`, the best first.
    pub(crate) fn find(&self, options: &Options, image: Image, key: Key, nth: usize) -> Option<Record> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || File::open(self.folder.as_fd(), self.key(options, image));
        let file = files.entry(image).or_insert_with(open).as_ref()?;
        file.find(key, nth)
    }

    /// Adds `records` to those of `image`, if that is worth while.
    pub(crate) fn add(&self, options: &Options, image: Image, records: Vec<Record>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.key(options, image);
        // Others may have written meanwhile.
        let old = File::open(self.folder.as_fd(), key);
        let added: usize = records.iter().map(Record::weight).sum();
        if added * WORTH_WRITING < old.as_ref().map_or(0, File::len) {
            return;
        }
        // A failure costs only time, in the next run.
        if file::write(self.folder.as_fd(), key, old, records, MAX_FILE).is_ok() {
            files.insert(image, File::open(self.folder.as_fd(), key));
        }
    }

    /// What the file of `image` is known by.
    fn key(&self, options: &Options, image: Image) -> u128 {
        let build = build_id::get().unwrap_or_default();
        let code = (options.memory, options.region_insns, options.region_blocks, options.optimize);
        let all = format!("{LAYOUT} {build:?} {:?} {code:?} {:?} {image:?}", HostFeatures::detect(), self.guest);
        xxh3_128(all.as_bytes())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}
