//! One step of learning a line over everybody's trips, `minutes = LEVEL + SLOPE * km`: each person gives the
//! gradient of the mean squared error over their own trips.
//!
//! Must never weigh a person by their trips: the mean is taken over them, so that who travels much does not
//! steer the line. For `numbers = "float"`, `outputs = "dense"` and a `norm_max`, which bounds how far one
//! person can pull. The next step is another module, with the line that this one's answer led to.
//!
//! Scale: in minutes and kilometres a person's vector is tens to hundreds long, beside which `people` is small. It is
//! for ten thousand people and more; for fewer, divide the gradient and give more than 1 for a person (`ABI.md`, with
//! the manifest).
#![no_std]

/// The line so far.
const LEVEL: f64 = 4.0;
const SLOPE: f64 = 3.0;

cloister_guest::person_map! {
    rows_max: 64,
    values: [f64; 3],
    columns: { km: Float, minutes: Float },
    map: gradient,
}

/// By level, by slope, and 1 for a person with any trip: the sum that makes a mean of the others. It is scaled
/// down with them where the host clips the vector, so that the quotients stay weighted means.
fn gradient(person: &Person<'_>, values: &mut [f64; 3]) {
    let mut trips = 0.0;
    for (km, minutes) in person.km.iter().zip(person.minutes.iter()) {
        let (Some(km), Some(minutes)) = (km, minutes) else { continue };
        let too_long = LEVEL + SLOPE * km - minutes;
        values[0] += 2.0 * too_long;
        values[1] += 2.0 * too_long * km;
        trips += 1.0;
    }
    if trips > 0.0 {
        values[0] /= trips;
        values[1] /= trips;
        values[2] = 1.0;
    }
}
