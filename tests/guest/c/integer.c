/* The mix of CoreMark's kinds: linked lists, matrices, a state machine, CRC. argv[1]: rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
    struct node *next;
    int16_t key, value;
};

static uint16_t crc16(uint32_t v, uint16_t crc) {
    for (int i = 0; i < 32; i++) {
        int carry = (v ^ crc) & 1;
        v >>= 1;
        crc >>= 1;
        if (carry) crc ^= 0xa001;
    }
    return crc;
}

static struct node *merge_sort(struct node *list, int by_value) {
    if (list == NULL || list->next == NULL) return list;
    struct node *slow = list, *fast = list->next;
    while (fast && fast->next) slow = slow->next, fast = fast->next->next;
    struct node *right = merge_sort(slow->next, by_value);
    slow->next = NULL;
    struct node *left = merge_sort(list, by_value), *head = NULL, **tail = &head;
    while (left && right) {
        int first = by_value ? left->value <= right->value : left->key <= right->key;
        struct node **from = first ? &left : &right;
        *tail = *from;
        tail = &(*from)->next;
        *from = *tail;
    }
    *tail = left ? left : right;
    return head;
}

static uint16_t lists(uint16_t crc, int round) {
    static struct node nodes[200];
    for (int i = 0; i < 200; i++) {
        nodes[i].next = i + 1 < 200 ? &nodes[i + 1] : NULL;
        nodes[i].key = (int16_t)((i * 7919 + round) & 0x3ff);
        nodes[i].value = (int16_t)(i ^ round);
    }
    struct node *list = merge_sort(nodes, 0);
    for (struct node *n = list; n; n = n->next) crc = crc16((uint16_t)n->value, crc);
    list = merge_sort(list, 1);
    struct node *reversed = NULL;
    while (list) {
        struct node *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return crc16((uint16_t)reversed->key, crc);
}

static uint16_t matrices(uint16_t crc, int round) {
    enum { N = 20 };
    static int16_t a[N][N], b[N][N];
    static int32_t c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (int16_t)(i * j + round), b[i][j] = (int16_t)(i - j - round);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int32_t sum = 0;
            for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum ^ (sum >> 7 & 0x55);
        }
    for (int i = 0; i < N; i++) crc = crc16((uint32_t)c[i][(i * 3) % N], crc);
    return crc;
}

static uint16_t states(uint16_t crc, int round) {
    static const char *const inputs[] = { "5012", "-874", "+122", "35.54400", ".1234500", "-110.700",
                                          "5.500e+3", "-.123e-2", "-87e+832", "T0.3e-1F", "-T.T++Tq", "1T3.4e4z" };
    enum { START, INT, FLOAT, EXPONENT, SCIENTIFIC, INVALID, STATES } state;
    int counts[STATES] = { 0 };
    for (int n = 0; n < 12; n++) {
        state = START;
        for (const char *p = inputs[(n + round) % 12]; *p; p++) {
            int digit = *p >= '0' && *p <= '9';
            switch (state) {
            case START: state = digit || *p == '+' || *p == '-' ? INT : *p == '.' ? FLOAT : INVALID; break;
            case INT: state = digit ? INT : *p == '.' ? FLOAT : INVALID; break;
            case FLOAT: state = digit ? FLOAT : *p == 'e' ? EXPONENT : INVALID; break;
            case EXPONENT: state = digit || *p == '+' || *p == '-' ? SCIENTIFIC : INVALID; break;
            case SCIENTIFIC: state = digit ? SCIENTIFIC : INVALID; break;
            default: break;
            }
            counts[state]++;
        }
    }
    for (int i = 0; i < STATES; i++) crc = crc16((uint32_t)counts[i], crc);
    return crc;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 30;
    uint16_t crc = 0xffff;
    for (int i = 0; i < rounds; i++) crc = states(matrices(lists(crc, i), i), i);
    printf("integer %d rounds: %04x\n", rounds, crc);
    return 0;
}
