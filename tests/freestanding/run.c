/* run.c - runs what smallest.c has, on a board or on the computer, and tells of it: the logits in
   millionths, what the net takes, and the deepest that the stack went. */

#include "../../examples/mcu/board.h"

int predict(void);
extern float logits[10];
extern size_t net_bytes[3];

static void tell(const char *what, int64_t number) {
    board_write(what);
    board_write_number(number);
    board_write("\n");
}

int main(void) {
    uint64_t begun, instructions;
    int failed;
    board_paint_stack();
    begun = board_instructions();
    failed = predict();
    instructions = board_instructions() - begun;
    tell("stack ", (int64_t)board_stack_used());
    tell("instructions ", (int64_t)instructions);
    tell("struct ", (int64_t)net_bytes[0]);
    tell("activations ", (int64_t)net_bytes[1]);
    tell("workspace ", (int64_t)net_bytes[2]);
    for (int i = 0; i < 10 && !failed; i++) tell("logit ", (int64_t)(logits[i] * 1e6f));
    return failed;
}
