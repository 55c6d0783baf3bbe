using System.IO.MemoryMappedFiles;

namespace Flint.Memory;

/// <summary>A whole file mapped read-only into memory. The pages belong to the system's file cache, not to the process.</summary>
public sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _pointer;

    private MappedFile(string path, long length, MemoryMappedFile? file, MemoryMappedViewAccessor? view)
    {
        Path = path;
        Length = length;
        _file = file;
        _view = view;
        if (view is null)
            return;
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _pointer = start + view.PointerOffset;
    }

    /// <summary>The path the file was opened by.</summary>
    public string Path { get; }

    /// <summary>The file's length in bytes when it was mapped.</summary>
    public long Length { get; }

    /// <summary>The first byte; null for an empty file and after <see cref="Dispose"/>.</summary>
    public byte* Pointer => _pointer;

    /// <summary>Maps a file.</summary>
    /// <exception cref="FlintException">
    /// The file is absent or not a file (<see cref="FaultSide.Caller"/>), or cannot be read or mapped (<see cref="FaultSide.Machine"/>).
    /// </exception>
    public static MappedFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path))
            throw FlintException.Caller("not_a_file", $"{path}: expected a file, found a directory.");
        FileInfo info = new(path);
        if (!info.Exists)
            throw FlintException.Caller("file_not_found", $"{path}: no such file.");
        try
        {
            // Also true of pipes and devices, which must not be opened: they may block for ever.
            if (info.Length == 0)
                return new MappedFile(path, 0, null, null);
            return Map(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{path}: cannot be mapped into memory: {e.Message}", e);
        }
    }

    private static MappedFile Map(string path)
    {
        FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
        MemoryMappedFile? file = null;
        try
        {
            long length = stream.Length;
            file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, length, file, file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read));
        }
        catch
        {
            file?.Dispose();
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Unmaps the file. Pointers into it must not be used afterwards.</summary>
    public void Dispose()
    {
        if (_pointer != null)
        {
            _pointer = null;
            _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        }
        _view?.Dispose();
        _file?.Dispose();
    }
}
