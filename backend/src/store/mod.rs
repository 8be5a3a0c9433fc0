//! Translations kept in files, so that the next run of a program need not make them again.
//!
//! [`pages`] is how it is done for whole systems. For programs, there is one file for each image: a piece of guest
//! address space that shows the same code in every run, such as a mapped ELF file at its usual address. What is kept is used only if the guest's code is, byte for byte, what it was
//! made from; what an image is called only tells where to look. A file is known by everything else that translations
//! depend on: this build of the program, the host's features, the options, the guest's own digest.
//!
//! The code of a file is position-independent and already linked. It is mapped from the file, to be read and run by all
//! processes together, and never writable. Nothing is trusted: each part of a file is checked against its hash before
//! anything of it is used, and what does not fit counts as not there.

mod build;
mod build_id;
mod flat;
mod folder;
mod layout;
mod module;
mod pages;
mod record;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use crate::abi::HostFeatures;
use crate::cache_dir::{self, CacheDir};
use crate::options::{EngineKind, Memory, Options};
pub(crate) use module::Module;
use module::{Old, map};
pub use pages::PageStore;
pub(crate) use pages::{Kept, Piece};
pub(crate) use record::Record;

/// Version of the files' layout.
const LAYOUT: u32 = 1;
/// A larger file is written anew only when it grows by one part in [`WORTH_WRITING`], in bytes.
const SMALL: usize = 64 << 10;
/// See [`SMALL`].
const WORTH_WRITING: usize = 16;
/// About what a file may hold, in bytes; the rest is made anew in each run.
const MAX_FILE: usize = 128 << 20;

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
    folder: Arc<CacheDir>,
    images: Box<dyn Images>,
    /// What the guest's translations depend on besides its code.
    guest: Vec<u8>,
    /// What all its files depend on, once it has been found out: a store serves one translator.
    common: OnceLock<String>,
    /// Images that have been looked for, and whether the guest shows what is kept of them, as far as is known.
    seen: Mutex<HashMap<Image, bool>>,
}

impl Store {
    /// A store in `folder` for code of `images`. `guest` says in any form what
    /// translations depend on that is not in the code or in its mode: the features of the guest's processor.
    pub fn new(folder: Arc<CacheDir>, images: Box<dyn Images>, guest: &[u8]) -> Store {
        Store { folder, images, guest: guest.to_vec(), common: OnceLock::new(), seen: Mutex::default() }
    }

    /// Can translations made under `options` be kept?
    pub(crate) fn serves(&self, options: &Options) -> bool {
        options.memory == Memory::Host && can_keep(options)
    }

    /// The image that `pc` lies in.
    pub(crate) fn image(&self, pc: u64) -> Option<Image> {
        self.images.at(pc)
    }

    /// What is kept of `image`, when asked for the first time; unlinked cells hold `stub`.
    pub(crate) fn load(&self, options: &Options, image: Image, stub: u64) -> Option<Module> {
        let mut seen = self.seen();
        let Entry::Vacant(first) = seen.entry(image) else { return None };
        let key = self.key(options, image);
        let file = folder::open(self.folder.as_fd(), key);
        let module = file.as_ref().and_then(|file| Module::load(file, key, stub));
        if let Some(file) = file.as_ref().filter(|_| module.is_some()) {
            folder::touch(file);
        }
        // A file that is not whole is as good as none.
        first.insert(file.is_none() || module.is_some());
        module
    }

    /// The guest does not show what is kept of `image`.
    pub(crate) fn distrust(&self, image: Image) {
        self.seen().insert(image, false);
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Image, bool>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `records` to those of `image`, if that is worth while.
    pub(crate) fn add(&self, options: &Options, image: Image, mut records: Vec<Record>) {
        let key = self.key(options, image);
        let trusted = self.seen().get(&image).is_none_or(|trusted| *trusted);
        let old = folder::open(self.folder.as_fd(), key).filter(|_| trusted).and_then(|file| Old::new(&file, key));
        // Another process may have been here meanwhile.
        records.retain(|r| old.as_ref().is_none_or(|old| !old.has(r)));
        let added: usize = records.iter().map(Record::weight).sum();
        let len = old.as_ref().map_or(0, Old::len);
        if added == 0 || (len > SMALL && added * WORTH_WRITING < len) {
            return;
        }
        let mut all = old.map_or_else(Vec::new, |old| old.records());
        all.extend(records);
        // A failure costs only time, in the next run.
        if let Some(contents) = build::file(key, &all, MAX_FILE) {
            let written = folder::replace(self.folder.as_fd(), key, &contents);
            let _ = written.map(|()| self.folder.collect(cache_dir::DEFAULT_LIMIT));
        }
    }

    /// What the file of `image` is known by.
    fn key(&self, options: &Options, image: Image) -> u128 {
        let common = self.common.get_or_init(|| common(options, &self.guest));
        xxh3_128(format!("{common} {image:?}").as_bytes())
    }
}

/// Can translations made under `options` be kept at all?
fn can_keep(options: &Options) -> bool {
    // Whoever forces a tier wants to see it at work.
    let tiers = options.quick != u32::MAX && !matches!(options.threshold, 0 | u32::MAX);
    let plain = !options.count && options.listener.is_none();
    options.engine == EngineKind::Jit && tiers && plain && build_id::get().is_some()
}

/// What all translations made under `options` depend on.
fn common(options: &Options, guest: &[u8]) -> String {
    let build = build_id::get().unwrap_or_default();
    let code = (options.region_insns, options.region_blocks, options.optimize);
    format!("{LAYOUT} {build:?} {:?} {code:?} {guest:?}", HostFeatures::detect())
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}
