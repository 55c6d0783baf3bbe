namespace Flint.App.Accounts;

/// <summary>A process that reserves in a file of its machine: what it holds is the lock of another file, beside it.</summary>
internal sealed class SqliteNode : Node
{
    private readonly string _directory;
    private readonly FileStream _alive;

    /// <summary>Takes the lock.</summary>
    public SqliteNode(string directory, long id)
    {
        _directory = directory;
        Id = id;
        _alive = Open(id, FileMode.Create);
    }

    /// <inheritdoc/>
    public override long Id { get; }

    /// <inheritdoc/>
    public override List<long> Dead(Statements statements) =>
        [.. statements.Query("SELECT id FROM nodes", static row => row.GetInt64(0)).Where(id => !IsAlive(id))];

    /// <inheritdoc/>
    public override void Forget(long id) => File.Delete(PathOf(id));

    /// <inheritdoc/>
    public override void Abandon() => _alive.Dispose();

    /// <inheritdoc/>
    public override void Dispose()
    {
        _alive.Dispose();
        Forget(Id);
    }

    private bool IsAlive(long id)
    {
        try
        {
            Open(id, FileMode.Open).Dispose();
            return false;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
        catch (Exception held) when (held is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    private FileStream Open(long id, FileMode mode) => new(PathOf(id), mode, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);

    private string PathOf(long id) => Path.Combine(_directory, $"node-{id}.lock");
}
