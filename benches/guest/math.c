/* The C library's mathematics, and single precision. argv[1]: thousands of points. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int points = (argc > 1 ? atoi(argv[1]) : 10) * 1000;
    double sum = 0;
    float f = 0;
    for (int i = 1; i <= points; i++) {
        double x = i * 0.001;
        sum += sin(x) * cos(x) + log(x) - exp(-x) + pow(x, 0.3) + atan2(x, 2);
        f = f * 0.75f + (float)i / (1 + f * f) - floorf(f);
    }
    /* Libraries differ in the last bit. */
    printf("math %.8g %.5g\n", sum, (double)f);
    return 0;
}
