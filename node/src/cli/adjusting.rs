//! What a reader may ask of figures that are released already: free, told with the answer, and never done
//! unasked. It must never reach what is measured, charged or signed.

use clap::Args;
use cloister_report::{ReportError, ReportOptions};

/// Adjustments of an answer's figures, as `cloister results`, `cloister dry-run` and `cloister-node answer`
/// take them.
#[derive(Debug, Clone, Default, Args)]
pub struct Adjusting {
    /// Show this figure as 0 where the noise took it below 0 (repeatable; free)
    #[arg(long, value_name = "COLUMN")]
    non_negative: Vec<String>,
    /// Keep this share between 0 and 1 (repeatable; free)
    #[arg(long, value_name = "COLUMN")]
    share_within: Vec<String>,
    /// Move a total and its parts until they add up, each by the size of its noise (repeatable; free)
    #[arg(long, value_name = "TOTAL=PART+PART")]
    adds_up: Vec<String>,
}

impl Adjusting {
    /// As options of a report: totals first, then cuts. Errors on totals in other words.
    pub fn options(&self) -> Result<ReportOptions, ReportError> {
        ReportOptions::adjusting(&self.adds_up, &self.non_negative, &self.share_within)
    }
}
