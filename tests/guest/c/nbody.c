/* Planets: double arithmetic and square roots. argv[1]: steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DAYS 365.24
#define SUN (4 * 3.141592653589793 * 3.141592653589793)
struct body {
    double x[3], v[3], mass;
};
static struct body bodies[] = {
    { { 0, 0, 0 }, { 0, 0, 0 }, SUN },
    { { 4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01 },
      { 1.66007664274403694e-03 * DAYS, 7.69901118419740425e-03 * DAYS, -6.90460016972063023e-05 * DAYS },
      9.54791938424326609e-04 * SUN },
    { { 8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01 },
      { -2.76742510726411021e-03 * DAYS, 4.99852801234917238e-03 * DAYS, 2.30417297573763929e-05 * DAYS },
      2.85885980666130812e-04 * SUN },
    { { 1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01 },
      { 2.96460137564761618e-03 * DAYS, 2.37847173959480950e-03 * DAYS, -2.96589568540237556e-05 * DAYS },
      4.36624404335156298e-05 * SUN },
};
enum { N = sizeof bodies / sizeof *bodies };

static void advance(double dt) {
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++) {
            double d[3], sq = 0;
            for (int k = 0; k < 3; k++) d[k] = bodies[i].x[k] - bodies[j].x[k], sq += d[k] * d[k];
            double mag = dt / (sq * sqrt(sq));
            for (int k = 0; k < 3; k++) {
                bodies[i].v[k] -= d[k] * bodies[j].mass * mag;
                bodies[j].v[k] += d[k] * bodies[i].mass * mag;
            }
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

static double energy(void) {
    double e = 0;
    for (int i = 0; i < N; i++) {
        double v2 = 0;
        for (int k = 0; k < 3; k++) v2 += bodies[i].v[k] * bodies[i].v[k];
        e += 0.5 * bodies[i].mass * v2;
        for (int j = i + 1; j < N; j++) {
            double sq = 0;
            for (int k = 0; k < 3; k++) sq += pow(bodies[i].x[k] - bodies[j].x[k], 2);
            e -= bodies[i].mass * bodies[j].mass / sqrt(sq);
        }
    }
    return e;
}

int main(int argc, char **argv) {
    int steps = argc > 1 ? atoi(argv[1]) : 2000;
    printf("%.15g\n", energy());
    for (int i = 0; i < steps; i++) advance(0.01);
    printf("%.15g %a\n", energy(), bodies[1].x[0]);
    return 0;
}
