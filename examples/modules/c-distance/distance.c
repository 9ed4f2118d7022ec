/* Distance travelled, by band: a module in C, against sdk/sandbox/ABI.md alone.
 *
 * Must never count a leg to or from a row without a place, nor call anything: there is no C library here.
 *
 * Columns, both `float`: x_m and y_m, metres on a plane (a projected coordinate system). Rows come in canonical
 * order, so by time where the dictionary says so. One output: (band of the total, total in whole metres).
 */
#include <stdint.h>

/* Rows one person may have: the analysis must declare the same. */
#define ROW_CAP 512
#define COLUMNS 2
#define BITMAP_BYTES (8 * ((ROW_CAP + 63) / 64))
#define COLUMN_BYTES (BITMAP_BYTES + 8 * ROW_CAP)
#define OUTPUTS 1

struct column {
    uint8_t has_value[BITMAP_BYTES];
    double value[ROW_CAP];
};

struct pair {
    uint32_t index;
    uint32_t zero;
    int64_t value;
};

/* Of two float columns and pairs of i64: FNV-1a over the bytes 2, 2, 1, an example in ABI.md. The host refuses the
 * module over columns of other kinds, or where the analysis says `numbers = "float"` or `outputs = "dense"`. */
#define SIGNATURE 0x1383518cu

_Static_assert(sizeof(struct column) == COLUMN_BYTES, "columns follow each other without a gap");
_Static_assert(sizeof(struct pair) == 16, "a pair has 16 bytes");

/* The linker exports their addresses. */
struct column CLOISTER_INPUT[COLUMNS];
struct pair CLOISTER_OUTPUT[OUTPUTS];
const uint32_t CLOISTER_LAYOUT[4] = {1, sizeof(CLOISTER_INPUT), sizeof(CLOISTER_OUTPUT), SIGNATURE};

/* Upper ends in metres, excluded; past the last is a band of its own. */
static const double BAND_ENDS_M[] = {1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5};
#define BANDS_BUT_ONE (sizeof(BAND_ENDS_M) / sizeof(BAND_ENDS_M[0]))

static int has_value(const struct column *column, int32_t row) {
    return column->has_value[row / 8] >> (row % 8) & 1;
}

__attribute__((export_name("person_map"))) int32_t person_map(int32_t rows) {
    const struct column *x = &CLOISTER_INPUT[0], *y = &CLOISTER_INPUT[1];
    double total_m = 0;
    int32_t last = -1, legs = 0;
    for (int32_t row = 0; row < rows; row++) {
        if (!has_value(x, row) || !has_value(y, row))
            continue;
        if (last >= 0) {
            double dx = x->value[row] - x->value[last], dy = y->value[row] - y->value[last];
            total_m += __builtin_sqrt(dx * dx + dy * dy);
            legs++;
        }
        last = row;
    }
    /* Not a number, or further than an integer reaches: this person adds nothing. */
    if (legs == 0 || !(total_m < 9e18))
        return 0;
    uint32_t band = 0;
    while (band < BANDS_BUT_ONE && total_m >= BAND_ENDS_M[band])
        band++;
    CLOISTER_OUTPUT[0].index = band;
    CLOISTER_OUTPUT[0].zero = 0;
    CLOISTER_OUTPUT[0].value = (int64_t)total_m;
    return 1;
}
