// Visits a server several times over HTTPS in one run, so that the later ones may resume.
// Arguments: port, CA file, how often. Versions: -Djdk.tls.client.protocols. Prints a line for each visit: status, protocol, suite, length of the answer.

import java.io.FileInputStream;
import java.net.URL;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Visit {
  public static void main(String[] args) throws Exception {
    KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
    roots.load(null, null);
    try (FileInputStream file = new FileInputStream(args[1])) {
      roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(roots);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    for (int i = 0; i < Integer.parseInt(args[2]); i++) {
      URL url = new URL("https://localhost:" + args[0] + "/bulk");
      HttpsURLConnection connection = (HttpsURLConnection) url.openConnection();
      connection.setSSLSocketFactory(context.getSocketFactory());
      int length = connection.getInputStream().readAllBytes().length;
      String protocol = connection.getSSLSession().get().getProtocol();
      System.out.println(connection.getResponseCode() + " " + protocol + " " + connection.getCipherSuite() + " " + length);
    }
  }
}
