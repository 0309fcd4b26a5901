# Runs cases that lie in memory and writes a result for each: see layout.ts for all addresses. Both machines start it
# in real mode at 0:RUNNER, after RESET and after a shutdown.
#
# Home is 32-bit protected mode, flat, without paging. From there each case's state is loaded; the first exception ends
# in one of the stubs, which saves what it finds and goes home.

.equ SAVE, 0x8000        # the result in the making
.equ CURRENT, 0x8800     # fixed part of the case in hand
.equ HOME_STACK, 0x8ff0
.equ HOME_CODE32, 0x08
.equ HOME_DATA, 0x10
.equ HOME_CODE16, 0x20
.equ HOME_DATA16, 0x28
.equ ESCAPE, 0xfe        # vector that leads from a handler above CPL 0 to CPL 0

.macro read_msr number, to
	movl $\number, %ecx
	rdmsr
	movl %eax, SAVE+\to
	movl %edx, SAVE+\to+4
.endm
.macro write_msr number, from
	movl $\number, %ecx
	movl CURRENT+\from, %eax
	movl CURRENT+\from+4, %edx
	wrmsr
.endm

.text
.code16
.globl start
start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movb $0xff, %al
	outb %al, $0x21
	outb %al, $0xa1
go_home16:
	lgdtl %cs:home_gdtr
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $HOME_CODE32, $began

.code32
# After RESET. A case that was running has ended in a shutdown.
began:
	movw $HOME_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $HOME_STACK, %esp
	cmpl $0, RUNNING
	je next_case
	call clear_save
	movl $2, SAVE+R_STATUS
	jmp finish_case

clear_save:
	cld
	movl $SAVE, %edi
	movl $(RESULT_SIZE/4), %ecx
	xorl %eax, %eax
	rep stosl
	ret

next_case:
	movl INDEX, %eax
	cmpl TOTAL, %eax
	jb 1f
	movl $1, DONE
	movb $0x55, %al
	outb %al, $EXIT_PORT
2:	hlt
	jmp 2b
1:	# The fixed part, where paged cases can see it.
	cld
	movl NEXT, %esi
	movl $CURRENT, %edi
	movl $(C_FIXED/4), %ecx
	rep movsl
	movl %esi, %ebx
	# The arena.
	movl CURRENT+C_BASELINE, %esi
	shll $16, %esi
	addl $BASELINES, %esi
	movl $ARENA, %edi
	movl $(ARENA_SIZE/4), %ecx
	rep movsl
	movl CURRENT+C_PATCHES, %edx
	movl %ebx, %esi
3:	testl %edx, %edx
	jz 4f
	lodsl
	leal ARENA(%eax), %edi
	lodsl
	movl %eax, %ecx
	shrl $2, %ecx
	rep movsl
	decl %edx
	jmp 3b
4:	movl $ARENA, %esi
	movl $REFERENCE, %edi
	movl $(ARENA_SIZE/4), %ecx
	rep movsl
	call clear_save
	movl $1, RUNNING
	# State that every mode has.
	fninit
	fldcw CURRENT+C_FCW
	movl $0x200, %eax
	movl %eax, %cr4
	ldmxcsr CURRENT+C_MXCSR
	write_msr 0xc0000081, C_STAR
	write_msr 0xc0000082, C_STAR+8
	write_msr 0xc0000083, C_STAR+16
	write_msr 0xc0000084, C_SFMASK
	write_msr 0x174, C_SYSENTER
	write_msr 0x175, C_SYSENTER+8
	write_msr 0x176, C_SYSENTER+16
	write_msr 0xc0000102, C_KERNELGSBASE
	xorl %eax, %eax
	movl %eax, %cr2
	# MOV CR8, EAX as AMD has it outside of 64-bit mode.
	.byte 0xf0, 0x0f, 0x22, 0xc0
	movl CURRENT+C_DEBUG, %eax
	movl %eax, %dr0
	movl CURRENT+C_DEBUG+8, %eax
	movl %eax, %dr1
	movl CURRENT+C_DEBUG+16, %eax
	movl %eax, %dr2
	movl CURRENT+C_DEBUG+24, %eax
	movl %eax, %dr3
	movl CURRENT+C_DR6, %eax
	movl %eax, %dr6
	movl CURRENT+C_CR4, %eax
	movl %eax, %cr4
	movl CURRENT+C_CR3, %eax
	movl %eax, %cr3
	write_msr 0xc0000080, C_EFER
	movl CURRENT+C_KIND, %eax
	cmpl $1, %eax
	jb enter_real
	je enter_legacy

enter_long:
	lgdtl CURRENT+C_GDTR
	movl CURRENT+C_CR0, %eax
	movl %eax, %cr0
	ljmpl $CASE_CODE64, $1f
.code64
1:	lidt CURRENT+C_IDTR
	lldt CURRENT+C_LDTR
	ltr CURRENT+C_TR
	movl CURRENT+C_DR7, %eax
	movq %rax, %dr7
	movw CURRENT+C_DS, %ds
	movw CURRENT+C_ES, %es
	movw CURRENT+C_FS, %fs
	movw CURRENT+C_GS, %gs
	write_msr 0xc0000100, C_FSBASE
	write_msr 0xc0000101, C_GSBASE
	movl $(CURRENT+C_GPR), %esp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	iretq

.macro load_gprs32
	movl %cs:CURRENT+C_GPR+64, %edi
	movl %cs:CURRENT+C_GPR+72, %esi
	movl %cs:CURRENT+C_GPR+80, %ebp
	movl %cs:CURRENT+C_GPR+88, %ebx
	movl %cs:CURRENT+C_GPR+96, %edx
	movl %cs:CURRENT+C_GPR+104, %ecx
	movl %cs:CURRENT+C_GPR+112, %eax
.endm

.code32
enter_legacy:
	lgdtl CURRENT+C_GDTR
	lidtl CURRENT+C_IDTR
	movl CURRENT+C_CR0, %eax
	movl %eax, %cr0
	ljmpl $CASE_CODE32, $1f
1:	lldt CURRENT+C_LDTR
	ltr CURRENT+C_TR
	movl CURRENT+C_DR7, %eax
	movl %eax, %dr7
	movl $CASE_DATA, %eax
	movw %ax, %ss
	movl $HOME_STACK, %esp
	movw %cs:CURRENT+C_ES, %es
	movw %cs:CURRENT+C_FS, %fs
	movw %cs:CURRENT+C_GS, %gs
	movw %cs:CURRENT+C_DS, %ds
	testb $3, %cs:CURRENT+C_FRAME+8
	jnz outer
	pushl %cs:CURRENT+C_FRAME+16
	popfl
	lssl %cs:CURRENT+C_STACK32, %esp
	load_gprs32
	ljmpl *%cs:CURRENT+C_FAR32
outer:
	pushl %cs:CURRENT+C_FRAME+32
	pushl %cs:CURRENT+C_FRAME+24
	pushl %cs:CURRENT+C_FRAME+16
	pushl %cs:CURRENT+C_FRAME+8
	pushl %cs:CURRENT+C_FRAME
	load_gprs32
	iretl

enter_real:
	lidtl CURRENT+C_IDTR
	ljmpl $HOME_CODE16, $1f
.code16
1:	movw $HOME_DATA16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movl CURRENT+C_CR0, %eax
	movl %eax, %cr0
	ljmpw $0, $1f
1:	movl %cs:CURRENT+C_DR7, %eax
	movl %eax, %dr7
	pushl %cs:CURRENT+C_FRAME+16
	popfl
	movw %cs:CURRENT+C_ES, %es
	movw %cs:CURRENT+C_FS, %fs
	movw %cs:CURRENT+C_GS, %gs
	movw %cs:CURRENT+C_DS, %ds
	lssw %cs:CURRENT+C_STACK16, %sp
	load_gprs32
	ljmpw *%cs:CURRENT+C_FAR16

# --- handlers ---

.code64
common64:
	pushfq
	pushq %rax
	movl %cs, %eax
	testb $3, %al
	jnz 1f
	popq %rax
	popq SAVE+R_FLAGS
	popq SAVE+R_VECTOR
	movq %rax, SAVE+R_GPR
	movq %rcx, SAVE+R_GPR+8
	movq %rdx, SAVE+R_GPR+16
	movq %rbx, SAVE+R_GPR+24
	movq %rsp, SAVE+R_GPR+32
	movq %rbp, SAVE+R_GPR+40
	movq %rsi, SAVE+R_GPR+48
	movq %rdi, SAVE+R_GPR+56
	movq %r8, SAVE+R_GPR+64
	movq %r9, SAVE+R_GPR+72
	movq %r10, SAVE+R_GPR+80
	movq %r11, SAVE+R_GPR+88
	movq %r12, SAVE+R_GPR+96
	movq %r13, SAVE+R_GPR+104
	movq %r14, SAVE+R_GPR+112
	movq %r15, SAVE+R_GPR+120
	movl $HOME_STACK, %esp
	movl $64, SAVE+R_MODE
	movw %cs, SAVE+R_SELECTORS
	movw %ss, SAVE+R_SELECTORS+2
	movw %ds, SAVE+R_SELECTORS+4
	movw %es, SAVE+R_SELECTORS+6
	movw %fs, SAVE+R_SELECTORS+8
	movw %gs, SAVE+R_SELECTORS+10
	str SAVE+R_SELECTORS+12
	sldt SAVE+R_SELECTORS+14
	movq %dr7, %rax
	movq %rax, SAVE+R_DR7
	xorl %eax, %eax
	movq %rax, %dr7
	movq %cr2, %rax
	movq %rax, SAVE+R_CR2
	movq %cr3, %rax
	movq %rax, SAVE+R_CR3
	lgdt home_gdtr
	pushq $HOME_CODE32
	pushq $go_home32
	lretq
1:	popq %rax
	leaq 16(%rsp), %rsp
	int $ESCAPE

.code32
common32:
	pushfl
	pushl %eax
	movl %cs, %eax
	testb $3, %al
	jnz 1f
	pushl %ds
	lgdtl %cs:home_gdtr
	movl $HOME_DATA, %eax
	movl %eax, %ds
	popl SAVE+R_SELECTORS+4
	popl SAVE+R_GPR
	popl SAVE+R_FLAGS
	popl SAVE+R_VECTOR
	movl $32, SAVE+R_MODE
	movl %esp, SAVE+R_GPR+32
	movw %ss, SAVE+R_SELECTORS+2
	movl $HOME_DATA, %eax
	movl %eax, %ss
	movl $HOME_STACK, %esp
save_legacy:
	movl %ecx, SAVE+R_GPR+8
	movl %edx, SAVE+R_GPR+16
	movl %ebx, SAVE+R_GPR+24
	movl %ebp, SAVE+R_GPR+40
	movl %esi, SAVE+R_GPR+48
	movl %edi, SAVE+R_GPR+56
	movw %cs, SAVE+R_SELECTORS
	movw %es, SAVE+R_SELECTORS+6
	movw %fs, SAVE+R_SELECTORS+8
	movw %gs, SAVE+R_SELECTORS+10
	str SAVE+R_SELECTORS+12
	sldt SAVE+R_SELECTORS+14
	movl %dr7, %eax
	movl %eax, SAVE+R_DR7
	xorl %eax, %eax
	movl %eax, %dr7
	movl %cr2, %eax
	movl %eax, SAVE+R_CR2
	movl %cr3, %eax
	movl %eax, SAVE+R_CR3
	ljmpl $HOME_CODE32, $go_home32
1:	popl %eax
	leal 8(%esp), %esp
	int $ESCAPE

.code16
common16:
	pushfl
	pushl %eax
	movw %cs, %ax
	testb $3, %al
	jnz 1f
	pushw %ds
	smsww %ax
	testb $1, %al
	jz 2f
	lgdtl %cs:home_gdtr
	movw $HOME_DATA16, %ax
	movw %ax, %ds
	movb $16, SAVE+R_MODE
	jmp 3f
2:	xorw %ax, %ax
	movw %ax, %ds
	movb $1, SAVE+R_MODE
3:	popw SAVE+R_SELECTORS+4
	popl SAVE+R_GPR
	popl SAVE+R_FLAGS
	popw SAVE+R_VECTOR
	movl %esp, SAVE+R_GPR+32
	movw %ss, SAVE+R_SELECTORS+2
	movw %ds, %ax
	movw %ax, %ss
	movl $HOME_STACK, %esp
	cmpb $1, SAVE+R_MODE
	je 4f
	movl $HOME_DATA, %eax
	movw %ax, %ds
	movw %ax, %ss
	ljmpl $HOME_CODE32, $save_legacy
4:	# Real mode: STR and SLDT do not exist, the segments are saved here.
	movl %ecx, SAVE+R_GPR+8
	movl %edx, SAVE+R_GPR+16
	movl %ebx, SAVE+R_GPR+24
	movl %ebp, SAVE+R_GPR+40
	movl %esi, SAVE+R_GPR+48
	movl %edi, SAVE+R_GPR+56
	movw %cs, SAVE+R_SELECTORS
	movw %es, SAVE+R_SELECTORS+6
	movw %fs, SAVE+R_SELECTORS+8
	movw %gs, SAVE+R_SELECTORS+10
	movl %dr7, %eax
	movl %eax, SAVE+R_DR7
	xorl %eax, %eax
	movl %eax, %dr7
	movl %cr2, %eax
	movl %eax, SAVE+R_CR2
	movl %cr3, %eax
	movl %eax, SAVE+R_CR3
	movl %cr0, %eax
	movl %eax, SAVE+R_CR0
	lgdtl home_gdtr
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $HOME_CODE32, $from_real
1:	popl %eax
	addw $6, %sp
	int $ESCAPE

.code32
go_home32:
	movl $HOME_DATA, %eax
	movl %eax, %ds
	movl %cr0, %eax
	movl %eax, SAVE+R_CR0
	# Without paging, write protection, TS and EM.
	andl $0x7fffffff, %eax
	movl %eax, %cr0
	movl $0x11, %eax
	movl %eax, %cr0
from_real:
	movw $HOME_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $HOME_STACK, %esp
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movl %cr4, %eax
	movl %eax, SAVE+R_CR4
	xorl %eax, %eax
	movl %eax, %cr4
	movl %dr6, %eax
	movl %eax, SAVE+R_DR6
	read_msr 0xc0000080, R_EFER
	read_msr 0xc0000102, R_KERNELGSBASE
	movl $0xc0000080, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	wrmsr
	fnstcw SAVE+R_FCW
	fnstsw SAVE+R_FSW
	fninit
	movl $1, SAVE+R_STATUS
	xorl %eax, %eax
	lldt %ax

# Dwords of the arena that changed: a list of offset and value, and a sum over those that have no room.
finish_case:
	cld
	movl $ARENA, %esi
	movl $REFERENCE, %edi
	movl $(ARENA_SIZE/4), %ecx
	movl $(SAVE+R_LIST), %ebx
	xorl %ebp, %ebp
1:	repe cmpsl
	je 3f
	incl SAVE+R_CHANGES
	movl -4(%esi), %eax
	leal -(ARENA+4)(%esi), %edx
	cmpl $(SAVE+R_LISTEND), %ebx
	jae 2f
	movl %edx, (%ebx)
	movl %eax, 4(%ebx)
	addl $8, %ebx
	testl %ecx, %ecx
	jnz 1b
	jmp 3f
2:	addl %edx, %ebp
	imull $0x01000193, %ebp
	xorl %eax, %ebp
	testl %ecx, %ecx
	jnz 1b
3:	movl %ebp, SAVE+R_HASH
	movl INDEX, %eax
	movl %eax, SAVE
	imull $RESULT_SIZE, %eax
	leal RESULTS(%eax), %edi
	movl $SAVE, %esi
	movl $(RESULT_SIZE/4), %ecx
	rep movsl
	movl NEXT, %eax
	addl (%eax), %eax
	movl %eax, NEXT
	incl INDEX
	movl $0, RUNNING
	jmp next_case

.balign 8
home_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00af9b000000ffff
	.quad 0x00009b000000ffff
	.quad 0x000093000000ffff
home_gdtr:
	.word home_gdtr - home_gdt - 1
	.quad home_gdt

.macro stubs name, push, common
.balign 16
.globl \name
\name:
.set vector, 0
.rept 256
.balign 16, 0xcc
	\push $vector
	jmp \common
.set vector, vector + 1
.endr
.endm

.code16
stubs stub16, pushw, common16
.code32
stubs stub32, pushl, common32
.code64
stubs stub64, pushq, common64
