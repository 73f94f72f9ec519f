/* Names for return addresses: the symbol table of this program (which the dynamic linker does not know), else
 * dladdr. */
#include "rt/rt_int.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const char *p;
    size_t n;
    uintptr_t base; /* load address minus link address */
    uintptr_t lo, hi;
    const Elf64_Sym *syms;
    size_t nsyms;
    const char *names;
    size_t names_n;
};

static int find_main(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct image *im = arg;
    im->base = info->dlpi_addr;
    im->lo = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD) continue;
        if (im->base + ph->p_vaddr < im->lo) im->lo = im->base + ph->p_vaddr;
        if (im->base + ph->p_vaddr + ph->p_memsz > im->hi) im->hi = im->base + ph->p_vaddr + ph->p_memsz;
    }
    return 1; /* the program comes first */
}

static bool in_file(const struct image *im, uint64_t off, uint64_t n)
{
    return off <= im->n && n <= im->n - off;
}

static void find_symbols(struct image *im)
{
    const Elf64_Ehdr *eh = (const void *)im->p;
    if (im->n < sizeof *eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
        eh->e_ident[EI_CLASS] != ELFCLASS64)
        return;
    if (!in_file(im, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr))) return;
    const Elf64_Shdr *sh = (const void *)(im->p + eh->e_shoff);
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        if (sh[i].sh_type != SHT_SYMTAB || sh[i].sh_link >= eh->e_shnum) continue;
        const Elf64_Shdr *names = &sh[sh[i].sh_link];
        if (!in_file(im, sh[i].sh_offset, sh[i].sh_size) || !in_file(im, names->sh_offset, names->sh_size))
            return;
        im->syms = (const void *)(im->p + sh[i].sh_offset);
        im->nsyms = sh[i].sh_size / sizeof(Elf64_Sym);
        im->names = im->p + names->sh_offset;
        im->names_n = names->sh_size;
        return;
    }
}

static void image_open(struct image *im)
{
    *im = (struct image){0};
    dl_iterate_phdr(find_main, im);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            im->p = p;
            im->n = (size_t)st.st_size;
            find_symbols(im);
        }
    }
    close(fd);
}

/* The name of the function that holds pc, or NULL. */
static const char *image_name(const struct image *im, uintptr_t pc, uintptr_t *start)
{
    for (size_t i = 0; i < im->nsyms; i++) {
        const Elf64_Sym *s = &im->syms[i];
        uintptr_t at = im->base + s->st_value;
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || pc < at || pc - at >= s->st_size) continue;
        if (s->st_name >= im->names_n) return NULL;
        *start = at;
        return im->names + s->st_name;
    }
    return NULL;
}

void symbols_format(void *const *pcs, int n, struct buf *out)
{
    struct image im;
    image_open(&im);
    for (int i = 0; i < n; i++) {
        uintptr_t pc = (uintptr_t)pcs[i], start = 0;
        Dl_info dl = {0};
        const char *name = NULL;
        if (pc >= im.lo && pc < im.hi) {
            name = image_name(&im, pc, &start);
        } else if (dladdr(pcs[i], &dl) && dl.dli_sname) {
            name = dl.dli_sname;
            start = (uintptr_t)dl.dli_saddr;
        }
        if (i > 0) buf_cstr(out, " < ");
        if (name)
            buf_fmt(out, "%s+0x%zx", name, (size_t)(pc - start));
        else
            buf_fmt(out, "0x%zx", (size_t)(pc >= im.lo && pc < im.hi ? pc - im.base : pc));
    }
    if (im.p) munmap((void *)(uintptr_t)im.p, im.n);
}
