/* The switch between two stacks, and the first frame of a fiber.
 *
 *   void rt_switch(void **save, void *to)
 *
 * Stores what the ABI says a call preserves on the current stack, leaves the stack pointer in *save, and goes on where
 * `to` was left. The floating-point control words are not saved: nothing here changes them.
 *
 * tools/gdb/ingot.py reads the same layout; change both.
 *
 * The watchdog's signal may come between any two instructions: the unwinding notes hold after each.
 */
#if defined(__x86_64__)

/* saved, upwards from sp: r15 r14 r13 r12 rbx rbp return-address */
        .text
        .globl  rt_switch
        .type   rt_switch, @function
        .p2align 4
rt_switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp          /* another stack, left in the same state */
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .size   rt_switch, .-rt_switch

/* The first thing a fiber runs: r12 holds the fiber. The undefined return address ends every backtrace here. */
        .type   fiber_boot, @function
        .p2align 4
fiber_boot:
        .cfi_startproc
        .cfi_undefined rip
        nop                         /* who unwinds looks one byte before a return address */
.Lboot:
        movq    %r12, %rdi
        xorl    %ebp, %ebp
        call    fiber_main@PLT
        ud2
        .cfi_endproc
        .size   fiber_boot, .-fiber_boot

/* void *fiber_prepare(void *top, struct rt_fiber *f) */
        .globl  fiber_prepare
        .type   fiber_prepare, @function
        .p2align 4
fiber_prepare:
        .cfi_startproc
        leaq    -80(%rdi), %rax
        andq    $-16, %rax
        addq    $8, %rax           /* so that the stack is aligned at fiber_boot's call */
        leaq    .Lboot(%rip), %rdx
        xorl    %ecx, %ecx
        movq    %rcx, (%rax)       /* r15 */
        movq    %rcx, 8(%rax)      /* r14 */
        movq    %rcx, 16(%rax)     /* r13 */
        movq    %rsi, 24(%rax)     /* r12 */
        movq    %rcx, 32(%rax)     /* rbx */
        movq    %rcx, 40(%rax)     /* rbp */
        movq    %rdx, 48(%rax)     /* return address */
        movq    %rcx, 56(%rax)
        ret
        .cfi_endproc
        .size   fiber_prepare, .-fiber_prepare

#elif defined(__aarch64__)

/* saved, upwards from sp: x19 .. x28, x29, x30, d8 .. d15 (160 bytes) */
        .text
        .globl  rt_switch
        .type   rt_switch, %function
        .p2align 4
rt_switch:
        .cfi_startproc
        sub     sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   rt_switch, .-rt_switch

        .type   fiber_boot, %function
        .p2align 4
fiber_boot:
        .cfi_startproc
        .cfi_undefined x30
        nop                         /* who unwinds looks before a return address */
.Lboot:
        mov     x0, x19
        mov     x29, xzr
        bl      fiber_main
        brk     #1
        .cfi_endproc
        .size   fiber_boot, .-fiber_boot

        .globl  fiber_prepare
        .type   fiber_prepare, %function
        .p2align 4
fiber_prepare:
        .cfi_startproc
        sub     x2, x0, #160
        and     x2, x2, #-16
        mov     x3, #0
0:      str     xzr, [x2, x3]
        add     x3, x3, #8
        cmp     x3, #160
        b.ne    0b
        str     x1, [x2, #0]
        adrp    x4, .Lboot
        add     x4, x4, :lo12:.Lboot
        str     x4, [x2, #88]
        mov     x0, x2
        ret
        .cfi_endproc
        .size   fiber_prepare, .-fiber_prepare

#else
#error "fibers need a switch for this processor"
#endif

        .section .note.GNU-stack, "", %progbits
