//! Certificates that were read anew, by what came of it.

use super::counter::labels;

labels! {
    /// What came of certificates that were found changed.
    pub(crate) enum CertificateReload by "result" {
        /// New connections get them.
        Ok = "ok",
        /// They cannot be used, and the old ones go on.
        Refused = "refused",
    }
}
