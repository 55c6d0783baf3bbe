namespace Flint.Weights;

/// <summary>Files that appear under their name when they are whole: until then they are <c>NAME.partial</c>, removed where writing fails.</summary>
internal static class AtomicFile
{
    /// <summary>Checks that a file to be written is none of a model that is read meanwhile.</summary>
    /// <exception cref="FlintException">Caller: it is.</exception>
    public static void CheckIsNot(GgufFile source, string target)
    {
        string full = Path.GetFullPath(target);
        if (source.Tensors.Select(t => t.File).Append(source.Path).Any(f => Path.GetFullPath(f) == full))
            throw FlintException.Caller("target_is_source", $"{target}: the target is the source; expected another file.");
    }

    /// <summary>Writes a file; an existing one is replaced.</summary>
    /// <exception cref="FlintException">Machine: it cannot be written.</exception>
    public static void Write(string path, Action<FileStream> write)
    {
        string partial = path + ".partial";
        try
        {
            bool whole = false;
            try
            {
                using (FileStream stream = new(partial, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 16))
                    write(stream);
                File.Move(partial, path, overwrite: true);
                whole = true;
            }
            finally
            {
                if (!whole)
                    File.Delete(partial);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unwritable", $"{path}: cannot be written: {e.Message}", e);
        }
    }
}
