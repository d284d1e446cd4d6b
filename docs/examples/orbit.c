/* The time that a planet takes around the sun, by the leapfrog method, with so many steps to the orbit.
 *
 *     cc -O2 -o orbit orbit.c -lm
 *     ./orbit SEMI_MAJOR_AXIS_IN_MILLION_KM ECCENTRICITY STEPS
 *
 * It starts at perihelion and ends when the planet has come around to it; the last step is interpolated. Prints the
 * period in days, and by which part it is off Kepler's third law, as JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double SUN = 1.32712e11; /* G times the mass of the sun, km^3/s^2 (NASA, Sun Fact Sheet) */
static const double DAY = 86400.0;

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: orbit SEMI_MAJOR_AXIS ECCENTRICITY STEPS\n");
        return 2;
    }
    double a = atof(words[1]) * 1e6, e = atof(words[2]);
    long steps = atol(words[3]);
    if (!(a > 0 && e >= 0 && e < 1 && steps >= 10)) {
        fprintf(stderr, "orbit: no ellipse, or fewer than 10 steps: %s %s %s\n", words[1], words[2], words[3]);
        return 1;
    }
    double x = a * (1 - e), y = 0, u = 0, v = sqrt(SUN / a * (1 + e) / (1 - e));
    double kepler = 2 * M_PI * sqrt(a * a * a / SUN), h = kepler / steps, time = 0;
    for (;;) {
        double before = y, r = sqrt(x * x + y * y), k = -SUN / (r * r * r);
        u += h / 2 * k * x, v += h / 2 * k * y;
        x += h * u, y += h * v;
        r = sqrt(x * x + y * y), k = -SUN / (r * r * r);
        u += h / 2 * k * x, v += h / 2 * k * y;
        if (before < 0 && y >= 0 && x > 0) {
            time += h * before / (before - y);
            break;
        }
        time += h;
    }
    printf("{\"days\": %.9g, \"off\": %.3g}\n", time / DAY, fabs(time / kepler - 1));
    return 0;
}
