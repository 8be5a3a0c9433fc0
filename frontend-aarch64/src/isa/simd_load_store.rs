//! Rows.

use crate::rows;

rows! {}
