using System.Runtime.InteropServices;

namespace Flint.Memory;

/// <summary>
/// Machine code in pages of its own, readable and executable. The pages are written before they become executable and never are
/// both. Linux on x86-64 only; elsewhere, and where the system forbids it, there is none.
/// </summary>
public sealed unsafe partial class ExecutableMemory : IDisposable
{
    private const int ProtectRead = 1, ProtectWrite = 2, ProtectExecute = 4; // PROT_* of <sys/mman.h>
    private const int MapPrivate = 2, MapAnonymous = 0x20; // MAP_* of <sys/mman.h>

    private byte* _pointer;

    private ExecutableMemory(byte* pointer, int length)
    {
        _pointer = pointer;
        Length = length;
    }

    /// <summary>Unmaps code that was not disposed.</summary>
    ~ExecutableMemory() => Free();

    /// <summary>The length of the code in bytes.</summary>
    public int Length { get; }

    /// <summary>The first instruction, at the start of a page; null after <see cref="Dispose"/>.</summary>
    public byte* Pointer => _pointer;

    /// <summary>Copies code into executable pages.</summary>
    /// <param name="code">The code, position-independent; at least one byte.</param>
    /// <param name="refusal">Why there is no such memory, as a clause for a person; null on success.</param>
    /// <returns>The memory; null where the system has or allows none.</returns>
    public static ExecutableMemory? TryCreate(ReadOnlySpan<byte> code, out string? refusal)
    {
        ArgumentOutOfRangeException.ThrowIfZero(code.Length, nameof(code));
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            refusal = "emitted code runs on Linux on x86-64 only";
            return null;
        }

        byte* pages = Map(null, (nuint)code.Length, ProtectRead | ProtectWrite, MapPrivate | MapAnonymous, -1, 0);
        if ((nint)pages == -1)
        {
            refusal = $"the system gave no memory for code ({Marshal.GetLastPInvokeErrorMessage()})";
            return null;
        }

        code.CopyTo(new Span<byte>(pages, code.Length));
        if (Protect(pages, (nuint)code.Length, ProtectRead | ProtectExecute) != 0)
        {
            refusal = $"the system forbids memory for code ({Marshal.GetLastPInvokeErrorMessage()})";
            _ = Unmap(pages, (nuint)code.Length);
            return null;
        }

        refusal = null;
        return new ExecutableMemory(pages, code.Length);
    }

    /// <summary>Unmaps the code. It must not run, now or later.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_pointer == null) return;
        _ = Unmap(_pointer, (nuint)Length);
        _pointer = null;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* address, nuint length);
}
