//! The part of the report about referral codes.

use std::fmt;

use crate::codes::{BATCH_CALLERS, CALLERS, Codes, USERS};

pub(super) fn write(f: &mut fmt::Formatter<'_>, codes: &Codes) -> fmt::Result {
    writeln!(
        f,
        "\n## Referral codes\n\n{} codes of six symbols generated in batches of {}; then {} codes given \
         to users over the API by the process on the server's core, all of them different.\n\n\
         | codes | a second |\n|---|---:|\n\
         | drawn and screened, stored nowhere | {:.0} |\n\
         | drawn, screened and stored in the pool | {:.0} |\n\
         | given one by one, {CALLERS} callers | {:.0} |\n\
         | told again to users who have one, {CALLERS} callers | {:.0} |\n\
         | given in batches of {USERS}, {BATCH_CALLERS} callers | {:.0} |\n\n\
         A code in the pool takes {:.0} bytes on disk, indexes included.",
        codes.generated,
        codes.batch,
        codes.different,
        codes.drawn_per_second,
        codes.stored_per_second,
        codes.issued_singly_per_second,
        codes.told_again_per_second,
        codes.issued_in_batches_per_second,
        codes.bytes_per_code,
    )
}
