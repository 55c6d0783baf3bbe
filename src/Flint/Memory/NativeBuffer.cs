using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Flint.Memory;

/// <summary>
/// One block of unmanaged memory, aligned to 64 bytes (to 2 MiB where huge pages are asked for). Large blocks come straight
/// from the system, so pages that are never touched cost nothing, zeroed or not.
/// </summary>
public sealed unsafe partial class NativeBuffer : IDisposable
{
    /// <summary>The alignment of every buffer in bytes: one cache line, one AVX-512 vector.</summary>
    public const int Alignment = 64;

    private const int HugePageBytes = 2 << 20;
    private const int AdviseHugePage = 14; // MADV_HUGEPAGE of <sys/mman.h>

    private void* _allocation;
    private byte* _pointer;

    /// <summary>Allocates a buffer.</summary>
    /// <param name="bytes">Its length; zero is allowed.</param>
    /// <param name="zeroed">Whether all bytes start as zero; otherwise they are undefined.</param>
    /// <param name="hugePages">Whether to ask the system (Linux) to back the buffer with huge pages. Only advice; never an error.</param>
    /// <exception cref="FlintException">The machine has no such memory (<see cref="FaultSide.Machine"/>, <c>out_of_memory</c>).</exception>
    public NativeBuffer(long bytes, bool zeroed = false, bool hugePages = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        bool huge = hugePages && OperatingSystem.IsLinux() && bytes >= 2L * HugePageBytes;
        nuint alignment = (nuint)(huge ? HugePageBytes : Alignment);
        try
        {
            nuint size = checked((nuint)bytes + alignment);
            _allocation = zeroed ? NativeMemory.AllocZeroed(size) : NativeMemory.Alloc(size);
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            GC.SuppressFinalize(this);
            throw new FlintException(FaultSide.Machine, "out_of_memory", $"The machine has no {bytes:N0} bytes of memory to give.", e);
        }
        Length = bytes;
        _pointer = (byte*)(((nuint)_allocation + alignment - 1) & ~(alignment - 1));
        if (huge)
            _ = Advise(_pointer, (nuint)bytes & ~((nuint)HugePageBytes - 1), AdviseHugePage);
    }

    /// <summary>Frees the memory of a buffer that was not disposed.</summary>
    ~NativeBuffer() => Free();

    /// <summary>The length in bytes.</summary>
    public long Length { get; }

    /// <summary>The first byte, aligned; null after <see cref="Dispose"/>.</summary>
    public byte* Pointer => _pointer;

    /// <summary>Allocates room for <paramref name="count"/> elements; the product is checked.</summary>
    /// <inheritdoc cref="NativeBuffer(long, bool, bool)"/>
    public static NativeBuffer Of<T>(long count, bool zeroed = false, bool hugePages = false)
        where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        Int128 bytes = (Int128)count * Unsafe.SizeOf<T>();
        if (bytes > long.MaxValue)
            throw new FlintException(FaultSide.Machine, "out_of_memory", $"The machine has no {bytes:N0} bytes of memory to give.");
        return new NativeBuffer((long)bytes, zeroed, hugePages);
    }

    /// <summary>Frees the memory. Pointers into it must not be used afterwards.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        _pointer = null;
        NativeMemory.Free(_allocation);
        _allocation = null;
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
