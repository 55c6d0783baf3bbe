using Flint.App.Accounts;

namespace Flint.App.Tests;

/// <summary>A folder that is gone after the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    internal string Path { get; } = Directory.CreateTempSubdirectory("flint-test-").FullName;

    internal string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        // Pooled connections keep the accounts open; those of other tests are in use.
        using (var connection = new Microsoft.Data.Sqlite.SqliteConnection(Store.ConnectionTo(File(Store.FileName))))
            Microsoft.Data.Sqlite.SqliteConnection.ClearPool(connection);
        Directory.Delete(Path, recursive: true);
    }
}
