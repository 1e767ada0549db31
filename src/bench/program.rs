//! A tiny static program that exits at once; it needs no library, so it starts in any tree.

/// The bytes of an ELF file for this machine; `None` if the machine's code is not written here.
pub(super) fn that_ends_at_once() -> Option<Vec<u8>> {
    /// The size of the ELF header and one program header.
    const HEADERS: u64 = 64 + 56;
    const AT: u64 = 0x40_0000;
    let (machine, code): (u16, &[u8]) = if cfg!(target_arch = "x86_64") {
        // xor %edi,%edi; mov $60,%eax; syscall
        (62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05])
    } else if cfg!(target_arch = "aarch64") {
        // mov x0, #0; mov x8, #93; svc #0
        (183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4])
    } else {
        return None;
    };
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, n: u16| elf.extend_from_slice(&n.to_le_bytes());
    let word = |elf: &mut Vec<u8>, n: u32| elf.extend_from_slice(&n.to_le_bytes());
    let long = |elf: &mut Vec<u8>, n: u64| elf.extend_from_slice(&n.to_le_bytes());
    half(&mut elf, 2); // executable
    half(&mut elf, machine);
    word(&mut elf, 1);
    long(&mut elf, AT + HEADERS); // entry
    long(&mut elf, 64); // program headers
    long(&mut elf, 0); // no sections
    word(&mut elf, 0);
    [64, 56, 1, 0, 0, 0].into_iter().for_each(|n| half(&mut elf, n));
    word(&mut elf, 1); // to be loaded
    word(&mut elf, 5); // read, execute
    [0, AT, AT, size, size, 4096].into_iter().for_each(|n| long(&mut elf, n));
    elf.extend_from_slice(code);
    Some(elf)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_runs_and_succeeds() {
        let Some(bytes) = super::that_ends_at_once() else { return };
        let dir = tempfile::tempdir().expect("a directory");
        let (made, program) = (dir.path().join("made"), dir.path().join("program"));
        std::fs::write(&made, bytes).expect("write");
        // `cp` writes the file: a child that another test forks could inherit our writable descriptor (ETXTBSY).
        let copied = std::process::Command::new("cp").arg(&made).arg(&program).status().expect("start cp");
        assert!(copied.success());
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let status = std::process::Command::new(&program).status().expect("start it");
        assert!(status.success(), "{status}");
    }
}
